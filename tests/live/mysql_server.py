#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""MariaDB with its command line client, PyMySQL, MySQLdb, libmariadb and its Java connector, plain
and compressed: the records are the clients' own calls, and what the server's log and its counters
say (docs/protocols/mysql.md).

    mysql_server.py TAPLINE [--client FILE] [--record FILE]

--client names the built mysql_client.c, --record keeps the packets."""
import collections
import os
import pathlib
import re
import sys
import time

import lab
from lab import check

DAEMON = "/usr/sbin/mariadbd"
JAR = "/usr/share/java/mariadb-java-client.jar"
HERE = pathlib.Path(__file__).parent
SETUP = """CREATE DATABASE shop; CREATE USER app@'%' IDENTIFIED BY 'pw';
GRANT ALL ON *.* TO app@'%'; CREATE TABLE shop.t1 (id INT PRIMARY KEY AUTO_INCREMENT, name TEXT);
INSERT INTO shop.t1 (name) VALUES ('a'), (''), ('c'); CREATE TABLE shop.big (id INT, b LONGTEXT);
SET GLOBAL max_allowed_packet = 64 << 20; SET GLOBAL general_log = 1"""
# What a client's own clock may add to what the probe sees: half of the time, and at any time.
MEDIAN_NS, BOUND_NS = 20_000_000, 250_000_000


# What the general log leaves out.
UNLOGGED = ("PING", "STMT_FETCH", "RESET_CONNECTION")
# What the server counts as a question besides the statements of a QUERY.
QUESTIONS = ("STMT_EXECUTE", "STMT_BULK_EXECUTE", "STMT_FETCH", "STMT_SEND_LONG_DATA", "INIT_DB",
             "QUIT", "CHANGE_USER", "RESET_CONNECTION")


def option(name):
    """What stands behind it on the command line, "" if nothing does."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else ""


def install(l, name="data"):
    """A folder with an empty database, for a Server of that name."""
    lab.need("mariadb", "mariadb-install-db")
    if not os.path.exists(DAEMON):
        raise lab.Skip("mariadb-server is not installed")
    l.sh("mariadb-install-db", "--no-defaults", f"--datadir={l.folder / name}", "--user=root",
         "--auth-root-authentication-method=normal", "--skip-test-db")
    return l.folder / name


class Server:
    def __init__(self, l, namespace, *options, name="data", address=lab.HTTP):
        data = l.folder / name
        if not data.exists():
            install(l, name)
        self.lab, self.socket, self.log = l, l.folder / f"{name}.sock", l.folder / f"{name}.general"
        l.start(namespace, DAEMON, "--no-defaults", "--user=root", f"--datadir={data}",
                f"--socket={self.socket}", "--port=3306", f"--bind-address={address}",
                "--skip-name-resolve", "--local-infile=1", f"--general-log-file={self.log}",
                *options, log=f"{name}.log")
        lab.wait_for("mariadbd", lambda: l.answers(namespace, address, 3306), 30)
        self.local(SETUP)

    def local(self, sql):
        """Over the socket: nothing of it is on the wire."""
        return self.lab.sh("mariadb", "--no-defaults", "-uroot", f"-S{self.socket}", "-BNe", sql)

    def counters(self):
        rows = (r.split("\t") for r in self.local("SHOW GLOBAL STATUS").splitlines())
        return {name: int(value) for name, value in rows if re.fullmatch(r"\d+", value)}

    def settled(self):
        """(counters once the server has ended all connections but the one that asks, how often it
        was asked for them)"""
        asked = []

        def are_alone():
            asked.append(self.counters())
            return asked[-1]["Threads_connected"] == 1
        lab.wait_for("the server to have ended its connections", are_alone)
        return asked[-1], len(asked)

    def logged(self):
        """What the server says it was sent: {thread: [command]}."""
        words = {"Connect": "LOGIN", "Query": "QUERY", "Prepare": "STMT_PREPARE",
                 "Execute": "STMT_EXECUTE", "Close stmt": "STMT_CLOSE", "Reset stmt": "STMT_RESET",
                 "Init DB": "INIT_DB", "Ping": "PING", "Quit": "QUIT", "Fetch": "STMT_FETCH",
                 "Long Data": "STMT_SEND_LONG_DATA", "Bulk_execute": "BULK_EXECUTE", "Change user": "CHANGE_USER"}
        calls = collections.defaultdict(list)
        entry = re.compile(r"^(?:\d{6} +\d+:\d+:\d+|\t)\t *(\d+) (%s)(?:\t(.*))?$" % "|".join(words))
        for line in self.log.read_text(errors="replace").splitlines():
            m = entry.match(line)
            if m and not (m[2] == "Connect" and (m[3] or "").startswith("Access denied")):
                calls[int(m[1])].append(words[m[2]])
        return calls


class Calls(list):
    """What the clients did, in order: command, status, fields, ns that the client waited."""

    def add(self, command, status="ok", took=None, **fields):
        self.append((command, status, fields, took))


def timed(function, *arguments):
    begin = time.perf_counter_ns()
    function(*arguments)
    return time.perf_counter_ns() - begin


def pymysql_client(calls, infile):
    import pymysql

    def login(password="pw"):
        return pymysql.connect(host=lab.HTTP, user="app", password=password, database="shop",
                               local_infile=True, autocommit=None,
                               client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS)

    calls.add("LOGIN", user="app", schema="shop")
    connection = login()
    cursor = connection.cursor()

    def execute(sql):
        cursor.execute(sql)
        while cursor.nextset():
            pass

    def query(sql, large=False, **fields):
        took = timed(execute, sql)
        # What the client does with megabytes is its own affair.
        calls.add("QUERY", took=None if large else took, **fields)

    def refused(sql, code, **fields):
        calls.add("QUERY", "client_error", error_code=code, **fields)
        try:
            cursor.execute(sql)
        except pymysql.err.MySQLError:
            pass

    for i in range(50):
        query(f"SELECT id, name FROM t1 WHERE id = {i % 4}", query_summary="SELECT t1",
              query_text="SELECT id, name FROM t1 WHERE id = ?", returned_rows=int(0 < i % 4),
              columns=2, schema="shop", user="app")
    query("INSERT INTO t1 (name) VALUES ('x'), ('y')", affected_rows=2, last_insert_id="4",
          query_text="INSERT INTO t1 (name) VALUES (?)")
    query("UPDATE t1 SET name = 'z' WHERE id > 3", affected_rows=2, query_summary="UPDATE t1")
    query("SELECT 1; SELECT 2 UNION SELECT 3; UPDATE t1 SET name = 'q' WHERE id = 5", statements=3,
          returned_rows=3, result_sets=2, affected_rows=1)
    query("SELECT REPEAT('x', 20000000)", True, returned_rows=1, columns=1)
    query("INSERT INTO big VALUES (1, '" + "y" * 5000000 + "')", True, affected_rows=1)
    query("SELECT seq FROM seq_1_to_3000", returned_rows=3000)
    refused("SELECT * FROM missing", 1146, sqlstate="42S02")
    refused("INSERT INTO t1 VALUES (1, 'secret')", 1062)
    query(f"LOAD DATA LOCAL INFILE '{infile}' INTO TABLE big", affected_rows=2)
    calls.add("INIT_DB", schema="mysql")
    connection.select_db("mysql")
    calls.add("PING", schema="mysql")
    connection.ping()
    query("USE shop", query_summary="USE shop")
    calls.add("PING", schema="shop")
    connection.ping()
    calls.add("QUIT", "one_way")
    connection.close()
    calls.add("LOGIN", "client_error", user="app", error_code=1045)
    try:
        login("no")
    except pymysql.err.OperationalError:
        pass


def cli(l, namespace, calls, *options):
    """Three statements, one a time; an answer of many packets, and one large packet."""
    sql = "SELECT id FROM t1; UPDATE t1 SET name = 'w' WHERE id = 1; SELECT seq FROM " \
          "seq_1_to_20000; SELECT REPEAT('x', 3000000), REPEAT('0', 20)"
    calls.add("LOGIN", user="app", schema="shop")
    calls.add("QUERY", query_summary="SELECT t1", returned_rows=5)
    calls.add("QUERY", query_summary="UPDATE t1")
    calls.add("QUERY", query_summary="SELECT seq_1_to_20000", returned_rows=20000)
    calls.add("QUERY", query_summary="SELECT", returned_rows=1, columns=2)
    calls.add("QUIT", "one_way")
    l.on(namespace, "mariadb", "--no-defaults", *options, f"-h{lab.HTTP}", "-uapp", "-ppw", "shop",
         "-Be", sql)


def mysqldb_client(calls):
    """Compressed; MySQLdb sends statements of its own at the login, they are left to the log."""
    import MySQLdb
    connection = MySQLdb.connect(host=lab.HTTP, user="app", password="pw", database="shop",
                                 compress=True)
    cursor = connection.cursor()
    done = 0
    for i in range(30):
        cursor.execute("SELECT id, name, %s FROM t1", ("v" * 40 * i,))
        check(len(cursor.fetchall()) == 5, "rows are missing")
        done += 1
    noise = os.urandom(200000).hex()
    cursor.execute("INSERT INTO big VALUES (2, %s)", (noise,))
    cursor.execute("SELECT b FROM big WHERE id = 2")
    check(noise in [row[0] for row in cursor.fetchall()], "the row came back otherwise")
    connection.close()
    calls["v"] = done


def libmariadb_client(l, namespace, calls):
    """Cursors, long data, bulk execution, CHANGE_USER; its own list of calls."""
    one_way = ("STMT_CLOSE", "STMT_SEND_LONG_DATA", "QUIT")
    changing = ("STMT_BULK_EXECUTE",)
    for line in l.on(namespace, option("--client"), lab.HTTP).splitlines():
        command, rows = line.split()
        fields = {"affected_rows": int(rows)} if command in changing else \
            {"returned_rows": int(rows)} if command == "STMT_FETCH" else {}
        calls.add(command, "one_way" if command in one_way else "ok", **fields)


def java_client(l, namespace):
    """Every kind of statement in four kinds of connection; the log has the list of calls."""
    if not os.path.exists(JAR):
        return False
    l.on(namespace, "java", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", JAR,
         HERE / "MysqlCalls.java", f"jdbc:mariadb://{lab.HTTP}:3306/shop?user=app&password=pw")
    return True


# ---- what must be -------------------------------------------------------------------------------

def fields_of(record):
    return {**(record["response"] or {}), **(record["request"] or {})}


def differs(want, record):
    command, status, fields, took = want
    got = fields_of(record)
    if (got.get("command"), record["status"]) != (command, status):
        return f"{got.get('command')} {record['status']}"
    for name, value in fields.items():
        if got.get(name) != value:
            return f"{name}={got.get(name)!r}, not {value!r}"
    if took is not None and not 0 <= took - record["duration_ns"] <= BOUND_NS:
        return f"the client waited {took} ns, the probe saw {record['duration_ns']}"
    return ""


def compare(calls, records):
    check(len(calls) == len(records), f"{len(calls)} calls, {len(records)} records")
    for want, got in zip(calls, records):
        text = differs(want, got)
        check(not text, f"{want[0]} {want[2]}: {text}")
    added = [want[3] - got["duration_ns"] for want, got in zip(calls, records) if want[3]]
    median = sorted(added)[len(added) // 2]
    print(f"client - probe: {min(added)} to {max(added)} ns, half of {len(added)} below {median}")
    check(median <= MEDIAN_NS, "the client's clock says otherwise")


def by_thread(records):
    """{thread: [command]} in the order of the requests."""
    threads, calls = {}, collections.defaultdict(list)
    for r in records:
        got = fields_of(r)
        if got.get("command") == "LOGIN":
            threads[r["connection"]["id"]] = got.get("thread_id")
    for r in records:
        calls[threads.get(r["connection"]["id"])].append(fields_of(r).get("command"))
    return calls


def check_log(logged, recorded):
    """Commands in their order, but those that the server doesn't log."""
    for thread, calls in recorded.items():
        calls = [c.replace("BULK_", "") for c in calls if c not in UNLOGGED]
        want = logged.get(thread, [])
        at = next((i for i, pair in enumerate(zip(calls, want)) if pair[0] != pair[1]),
                  min(len(calls), len(want)))
        check(calls == want, f"thread {thread}: the server logged ..{want[at - 3:at + 4]}, "
                             f"recorded ..{calls[at - 3:at + 4]}")
    return sum(len(calls) for calls in recorded.values())


def check_counters(before, after, asked_locally, records):
    """The mapping of docs/protocols/mysql.md."""
    grown = {name: after[name] - before.get(name, 0) for name in after}
    asked = [fields_of(r) for r in records if r["request"]]
    commands = collections.Counter(f["command"] for f in asked)
    executed = [f.get("query_summary", "") for f in asked
                if f["command"] in ("QUERY", "STMT_EXECUTE", "STMT_BULK_EXECUTE")]
    want = {"Com_" + verb.lower(): sum(len(re.findall(rf"\b{verb}\b", text)) for text in executed)
            for verb in ("INSERT", "UPDATE", "LOAD")}
    want["Com_change_db"] = commands["INIT_DB"] + sum(t.startswith("USE ") for t in executed)
    want["Com_admin_commands"] = sum(commands[c] for c in ("PING", "CHANGE_USER",
                                                           "RESET_CONNECTION"))
    for word in ("PREPARE", "FETCH", "RESET", "SEND_LONG_DATA", "CLOSE"):
        want["Com_stmt_" + word.lower()] = commands["STMT_" + word]
    want["Com_stmt_execute"] = commands["STMT_EXECUTE"] + commands["STMT_BULK_EXECUTE"]
    want["Questions"] = sum(int(f.get("statements", 1)) for f in asked if f["command"] == "QUERY") + \
        sum(commands[c] for c in QUESTIONS) + 2 * asked_locally  # each time a SHOW and a QUIT
    want["Connections"] = commands["LOGIN"] + asked_locally
    print("by the records", want)
    for name, count in want.items():
        check(grown[name] == count, f"{name}: {grown[name]} by the server, {count} by the records")


def run(l):
    try:
        import pymysql  # noqa: F401
    except ImportError:
        raise lab.Skip("python3-pymysql is not installed")
    client, host = l.pair(offload=False)
    server = Server(l, host)
    infile = l.folder / "rows"
    infile.write_text("1\ta\n2\tb\n", encoding="ascii")
    agent = l.agent(host, ["interface: s0"])
    if option("--record"):
        l.start(host, "tcpdump", "-Z", "root", "-i", "s0", "-s", "0", "-U", "-B", "65536",
                "--immediate-mode", "-w", option("--record"), log="tcpdump.log")
        time.sleep(1)
    before, _ = server.settled()
    calls, more = Calls(), {}
    with l.inside(client):
        pymysql_client(calls, infile)
    cli(l, client, calls)
    cli(l, client, calls, "--compress")
    if option("--client"):
        libmariadb_client(l, client, calls)
    listed = len(calls)
    try:
        with l.inside(client):
            mysqldb_client(more)
    except ImportError:
        print("without python3-mysqldb")
    has_java = java_client(l, client)
    after, asked_locally = server.settled()
    own, seen, status = l.settled(host)
    losses = lab.check_books(own, seen, status)
    l.stop(agent)
    records = sorted((r for r in l.records() if r["protocol"] == "mysql"), key=lambda r: r["time"])
    print(f"{len(records)} records, {listed} calls, java {has_java}, lost {losses}, "
          f"{lab.count_by(records, 'status')}")
    if sum(losses.values()) > 0:
        print("the probe lost packets: only the books are checked")
        return
    compare(calls, records[:listed])
    texts = [fields_of(r).get("query_text") for r in records[listed:]]
    check("v" not in more or texts.count("SELECT id, name, ? FROM t1") == more["v"],
          "MySQLdb's queries are not all there")
    check(lab.count_by(records, "status").get("unanswered", 0) == 0, "something is unanswered")
    logged = server.logged()
    count = check_log(logged, by_thread(records))
    check_counters(before, after, asked_locally, records)
    text = str(records)
    check("secret" not in text and "yyyyyyyy" not in text, "a literal shows")
    print(f"{count} commands are the server's own log, of {len(logged)} threads")


if __name__ == "__main__":
    lab.main(run)
