#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what the probe records of real MariaDB clients with their own list of calls, and with
the server's counters by the mapping in docs/protocols/mysql.md.

usage: mysql_test.py TAPLINE [--pcap FILE]

Runs mariadbd in one network namespace and the clients (mariadb, PyMySQL) in another, over a veth.
Exit status 77 (skipped) without root or without the programs. --pcap keeps the packets.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SERVER, CLIENT = "tl-mysql-s", "tl-mysql-c"
ADDRESS = "10.77.4.1"
DAEMON = "/usr/sbin/mariadbd"


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def run(*args, **kwargs):
    return subprocess.run(args, check=True, text=True, capture_output=True, **kwargs).stdout


def in_ns(name, *args):
    return ("ip", "netns", "exec", name) + args


class Server:
    """mariadbd behind a veth."""

    def __init__(self, folder):
        self.folder = folder
        self.socket = f"{folder}/s"
        self.process = None

    def start(self):
        run("mariadb-install-db", "--no-defaults", f"--datadir={self.folder}", "--user=root",
            "--auth-root-authentication-method=normal")
        for name in (SERVER, CLIENT):
            run("ip", "netns", "add", name)
        run("ip", "link", "add", "tl-my0", "netns", SERVER, "type", "veth", "peer", "name",
            "tl-my1", "netns", CLIENT)
        for name, link, address in ((SERVER, "tl-my0", ADDRESS), (CLIENT, "tl-my1", "10.77.4.2")):
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", link)
            run("ip", "-n", name, "link", "set", link, "up")
        self.process = subprocess.Popen(
            in_ns(SERVER, DAEMON, "--no-defaults", "--user=root", f"--datadir={self.folder}",
                  f"--socket={self.socket}", "--port=3306", f"--bind-address={ADDRESS}",
                  "--skip-name-resolve", "--local-infile=1"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(150):
            if os.path.exists(self.socket):
                return
            time.sleep(0.1)
        raise RuntimeError("mariadbd did not start")

    def local(self, sql):
        """Over the socket: nothing of it is on the wire."""
        return run("mariadb", "--no-defaults", "-uroot", f"-S{self.socket}", "-BNe", sql)

    def counters(self):
        rows = self.local("SHOW GLOBAL STATUS LIKE 'Com\\_%'").splitlines()
        return {name: int(value) for name, value in (r.split("\t") for r in rows)}

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
        for name in (SERVER, CLIENT):
            subprocess.run(("ip", "netns", "del", name), check=False, capture_output=True)


# What the clients do: command, status, and fields that the record must have.
CALLS = []


def call(command, status="ok", **fields):
    CALLS.append((command, status, fields))


def pymysql_calls(infile):
    import pymysql
    import pymysql.cursors

    def login(**kwargs):
        call("LOGIN", user="app", schema="shop")
        return pymysql.connect(host=ADDRESS, user="app", password="pw", database="shop",
                               local_infile=True, autocommit=None, init_command=None, **kwargs)

    connection = login(client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS)
    cursor = connection.cursor()

    def query(sql, **fields):
        call("QUERY", **fields)
        return cursor.execute(sql)

    for i in range(50):
        query(f"SELECT id, name FROM t1 WHERE id = {i % 4}", query_summary="SELECT t1",
              query_text="SELECT id, name FROM t1 WHERE id = ?", returned_rows=int(0 < i % 4),
              columns=2, schema="shop", user="app")
    query("INSERT INTO t1 (name) VALUES ('x'), ('y')", affected_rows=2, last_insert_id="4",
          query_text="INSERT INTO t1 (name) VALUES (?)")
    query("UPDATE t1 SET name = 'z' WHERE id > 3", affected_rows=2, query_summary="UPDATE t1")
    query("SELECT 1; SELECT 2 UNION SELECT 3; UPDATE t1 SET name = 'q' WHERE id = 5", statements=3,
          returned_rows=3, result_sets=2, affected_rows=1)
    while cursor.nextset():
        pass
    query("SELECT REPEAT('x', 20000000)", returned_rows=1, columns=1)
    cursor.fetchall()
    query("INSERT INTO big VALUES (1, '" + "y" * 5000000 + "')", affected_rows=1)
    query("SELECT seq FROM seq_1_to_3000", returned_rows=3000)
    call("QUERY", "client_error", error_code=1146, sqlstate="42S02")
    try:
        cursor.execute("SELECT * FROM missing")
    except pymysql.err.ProgrammingError:
        pass
    call("QUERY", "client_error", error_code=1062)
    try:
        cursor.execute("INSERT INTO t1 VALUES (1, 'secret')")
    except pymysql.err.IntegrityError:
        pass
    query(f"LOAD DATA LOCAL INFILE '{infile}' INTO TABLE big", affected_rows=2)
    call("INIT_DB", schema="mysql")
    connection.select_db("mysql")
    call("PING", schema="mysql")
    connection.ping()
    query("USE shop", query_summary="USE shop")
    query("PREPARE s FROM 'SELECT 1'")
    call("PING", schema="shop")
    connection.ping()
    call("QUIT", "one_way")
    connection.close()
    call("LOGIN", "client_error", user="app", error_code=1045)
    try:
        pymysql.connect(host=ADDRESS, user="app", password="no", database="shop")
    except pymysql.err.OperationalError:
        pass


def drive(folder, infile):
    """In the client's namespace; prints the list of calls."""
    pymysql_calls(infile)
    sql = "SELECT id FROM t1; UPDATE t1 SET name = 'w' WHERE id = 1; DO 1"
    args = ("mariadb", "--no-defaults", f"-h{ADDRESS}", "-uapp", "-ppw", "shop", "-Be", sql)
    call("LOGIN", user="app", schema="shop")
    call("QUERY", query_summary="SELECT t1", returned_rows=5)
    call("QUERY", query_summary="UPDATE t1", affected_rows=1)
    call("QUERY", query_summary="DO")
    call("QUIT", "one_way")
    run(*args)
    call("LOGIN", user="app", schema="shop")  # compressed: nothing more is decoded
    run(*args[:1], "--no-defaults", "--compress", *args[2:])
    print(json.dumps(CALLS))


def differs(want, got):
    command, status, fields = want
    both = {**(got["response"] or {}), **(got["request"] or {})}
    if (both.get("command"), got["status"]) != (command, status):
        return f"{both.get('command')} {got['status']}"
    for name, value in fields.items():
        if both.get(name) != value:
            return f"{name}={both.get(name)!r}, not {value!r}"
    return ""


def compare(calls, records):
    failures = []
    if len(calls) != len(records):
        failures.append(f"{len(calls)} calls, {len(records)} records")
    for want, got in zip(calls, records):
        text = differs(want, got)
        if text:
            failures.append(f"{want[0]} {want[2]}: {text}")
    return failures


def check_counters(before, after, records):
    """One COM_QUERY counts once per statement, by its verb."""
    failures = []
    grown = {name: after[name] - before.get(name, 0) for name in after}
    text = [r["request"].get("query_summary", "") for r in records if r["request"]]
    update = sum(t.count("UPDATE ") for t in text)
    # With the compressed client's one, which is not decoded.
    if grown["Com_update"] != update + 1:
        failures.append(f"Com_update {grown['Com_update']}, records say {update} + 1")
    insert = sum(t.startswith("INSERT ") for t in text)
    if grown["Com_insert"] != insert:
        failures.append(f"Com_insert {grown['Com_insert']}, records say {insert}")
    return failures


def capture(tapline, server, pcap, infile):
    with tempfile.TemporaryFile("w+") as out:
        dump = subprocess.Popen(in_ns(CLIENT, "tcpdump", "-i", "tl-my1", "-w", pcap, "-s0", "-B",
                                      "65536", "--immediate-mode", "-U"),
                                stderr=subprocess.PIPE, text=True)
        dump.stderr.readline()
        calls = json.loads(run(*in_ns(CLIENT, sys.executable, __file__, tapline, "--drive", infile)))
        time.sleep(1)
        dump.send_signal(signal.SIGINT)
        dump.wait()
        subprocess.run((tapline, "watch", "--pcap-file", pcap, "--output", "json", "-q"), check=True,
                       stdout=out)
        out.seek(0)
        records = [json.loads(line) for line in out]
    return calls, records


def main():
    tapline = sys.argv[1]
    if "--drive" in sys.argv:
        drive(tapline, sys.argv[sys.argv.index("--drive") + 1])
        return 0
    if os.geteuid() != 0:
        skip("needs root for network namespaces")
    for program in (DAEMON, "mariadb", "mariadb-install-db", "ip", "tcpdump"):
        if shutil.which(program) is None:
            skip(f"{program} is not installed")
    try:
        import pymysql  # noqa: F401
    except ImportError:
        skip("python3-pymysql is not installed")
    folder = tempfile.mkdtemp(prefix="tl-mysql-")
    server = Server(folder + "/data")
    infile = folder + "/rows"
    pathlib.Path(infile).write_text("1\ta\n2\tb\n", encoding="ascii")
    pcap = sys.argv[sys.argv.index("--pcap") + 1] if "--pcap" in sys.argv else folder + "/pcap"
    try:
        server.start()
        server.local("CREATE DATABASE shop; DROP USER IF EXISTS ''@'localhost'; CREATE USER app@'%' "
                     "IDENTIFIED BY 'pw'; GRANT ALL ON *.* TO app@'%'; CREATE TABLE shop.t1 (id INT "
                     "PRIMARY KEY AUTO_INCREMENT, name TEXT); INSERT INTO shop.t1 (name) VALUES "
                     "('a'), (''), ('c'); CREATE TABLE shop.big (id INT, b LONGTEXT); "
                     "SET GLOBAL max_allowed_packet = 64 << 20")
        before = server.counters()
        calls, records = capture(tapline, server, pcap, infile)
        failures = compare(calls, records) + check_counters(before, server.counters(), records)
        text = json.dumps(records)
        if "secret" in text or "yyyyyyyy" in text:
            failures.append("a literal shows")
    finally:
        server.stop()
        shutil.rmtree(folder)
    for failure in failures[:20]:
        print(failure)
    print(f"{len(calls)} calls, {len(records)} records, {len(failures)} differences")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
