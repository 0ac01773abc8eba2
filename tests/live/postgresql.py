#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL with psql, psycopg2 and pgbench in each mode: the records are the clients' own calls,
the server's pg_stat_statements agrees with them, and latencies are pgbench's but for what lies
between client and probe.

usage: postgresql.py TAPLINE [--record FILE]   writes what is on the wire into FILE, of few calls"""
import collections
import os
import pathlib
import statistics
import sys

import lab
from lab import check

PORT = "5432"
RECORDS = "--record" in sys.argv
EACH = 12 if RECORDS else 1000     # transactions of pgbench
ROW_BYTES = 100 if RECORDS else 700  # 13 KB at most: of longer texts the beginning is read
PIPELINES = 3 if RECORDS else 100
# Client's latency less the probe's: not below 0 (but for the rounding to microseconds), and at most
# this in the median and for 99 of 100. pgbench reads the clock once for several steps and logs a
# transaction of 0 us now and then: those are left out.
BOUND_MS = (20, 250)
POINT = "SELECT name FROM t WHERE id = 1;\n"
PIPELINE = "\\startpipeline\nSELECT 1;\nSELECT 2;\nSELECT name FROM t WHERE id = 1;\n\\endpipeline\n"
CALLS = """CREATE TABLE t (id int primary key, name text);
INSERT INTO t VALUES (1, 'a'), (2, 'b');
SELECT * FROM t;
SELECT 1/0;
BEGIN;
UPDATE t SET name = 'c';
COMMIT;
COPY t TO STDOUT;
"""
WANTED = [("CREATE", "ok", 0), ("INSERT", "ok", 2), ("SELECT", "ok", 2),
          ("SELECT", "client_error", None), ("BEGIN", "ok", 0), ("UPDATE", "ok", 2),
          ("COMMIT", "ok", 0), ("COPY", "ok", 2)]


def server(l, namespace, programs):
    data = l.folder / "data"
    data.mkdir()
    os.chown(data, *postgres())
    (l.folder / "pw").write_text("pw")
    as_postgres = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups")
    l.on(namespace, *as_postgres, programs / "initdb", "-A", "scram-sha-256", "-U", "postgres",
         f"--pwfile={l.folder}/pw", "-D", data)
    with open(data / "pg_hba.conf", "a") as rules:
        rules.write("host all all 10.99.0.0/24 scram-sha-256\n")
    l.start(namespace, *as_postgres, programs / "postgres", "-D", data, "-p", PORT, "-k", data,
            "-c", "listen_addresses=*", "-c", "fsync=off",
            "-c", "shared_preload_libraries=pg_stat_statements", log="postgres.log")
    lab.wait_for("the server", lambda: l.answers(namespace, lab.HTTP, int(PORT)))


def postgres():
    import pwd
    entry = pwd.getpwnam("postgres")
    return entry.pw_uid, entry.pw_gid


def psycopg2_client(calls):
    """What it does is noted in `calls`; must run in the client's namespace."""
    try:
        import psycopg2
    except ImportError:
        raise lab.Skip("python3-psycopg2 is not installed")

    connection = psycopg2.connect(application_name="psycopg2")
    cursor = connection.cursor()  # the first statement of a transaction is preceded by BEGIN
    calls.append(("BEGIN", "ok"))
    for n in range(20):
        cursor.execute("INSERT INTO t VALUES (%s, %s)", (100 + n, "x" * ROW_BYTES * n))
        calls.append(("INSERT", "ok"))
    cursor.execute("SELECT * FROM t")
    calls.append(("SELECT", "ok"))
    check(len(cursor.fetchall()) == 22, "psycopg2 got other rows")
    with open("/dev/null") as nothing:
        cursor.copy_expert("COPY t FROM STDIN", nothing)
    calls.append(("COPY", "ok"))
    try:
        cursor.execute("SELECT nothing FROM nowhere")
    except psycopg2.Error:
        calls.append(("SELECT", "client_error"))
    connection.rollback()
    calls.append(("ROLLBACK", "ok"))
    connection.close()


def check_latency(l, mode, records):
    """pgbench logs each transaction of its client in order, as do the records."""
    logged = [int(line.split()[2]) / 1e3 for path in l.folder.glob(f"{mode}-log.*")
              for line in path.read_text().splitlines()]
    probed = [r["duration_ns"] / 1e6 for r in sorted(records, key=lambda r: r["time"])
              if r["request"]["command"] == "SELECT"]
    check(len(logged) == len(probed), f"{mode}: {len(logged)} transactions, {len(probed)} records")
    rest = sorted(a - b for a, b in zip(logged, probed) if a > 0)
    print(f"{mode}: client's latency less the probe's: {rest[0]:.3f} to {rest[-1]:.3f} ms, median "
          f"{statistics.median(rest):.3f} ms, of {len(rest)}")
    check(rest[0] >= -0.002, f"{mode}: the probe's latency is longer than the client's")
    check(statistics.median(rest) <= BOUND_MS[0], f"{mode}: the median is over {BOUND_MS[0]} ms")
    check(rest[len(rest) * 99 // 100] <= BOUND_MS[1], f"{mode}: too many over {BOUND_MS[1]} ms")


def seen_by(records, application):
    return [r for r in records if (r.get("request") or {}).get("application_name") == application]


def run(l):
    lab.need("psql", "pgbench", "setpriv")
    versions = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not versions:
        raise lab.Skip("no PostgreSQL server is installed")
    client, there = l.pair()
    server(l, there, versions[-1].parent)
    os.environ.update(PGHOST=lab.HTTP, PGPORT=PORT, PGUSER="postgres", PGPASSWORD="pw",
                      PGDATABASE="postgres")
    l.on(client, "psql", "-qc", "CREATE EXTENSION pg_stat_statements")
    agent = l.agent(there, ["interface: s0"])
    if RECORDS:
        lab.need("tcpdump")
        dump = l.start(client, "tcpdump", "-Z", "root", "-i", "c0", "-U", "--immediate-mode", "-s",
                       "0", "-w", sys.argv[sys.argv.index("--record") + 1], "tcp port " + PORT,
                       log="tcpdump.log")
        lab.wait_for("tcpdump", lambda: "listening on" in dump.log.read_text())
    (l.folder / "calls.sql").write_text(CALLS)
    (l.folder / "point.sql").write_text(POINT)
    (l.folder / "pipeline.sql").write_text(PIPELINE)
    l.on(client, "psql", "-q", "-f", l.folder / "calls.sql")
    psycopg2_calls = []
    with l.inside(client):
        psycopg2_client(psycopg2_calls)
    for mode in ("simple", "extended", "prepared"):
        l.on(client, "env", f"PGAPPNAME=bench-{mode}", "pgbench", "-n", "-M", mode,
             "-f", l.folder / "point.sql", "-t", EACH, "--log",
             f"--log-prefix={l.folder}/{mode}-log")
    for mode in ("extended", "prepared"):
        l.on(client, "env", f"PGAPPNAME=pipe-{mode}", "pgbench", "-n", "-M", mode,
             "-f", l.folder / "pipeline.sql", "-t", PIPELINES)
    own, seen, status = l.settled(there)
    if RECORDS:
        l.stop(dump)
    losses = lab.check_books(own, seen, status)
    l.stop(agent)
    check(sum(losses.values()) == 0, f"the probe lost something: {losses}")
    records = [r for r in l.records() if r["protocol"] == "postgresql"]

    calls = [r for r in seen_by(records, "psql") if r["request"]["command"] != "STARTUP"]
    got = [(r["request"]["command"], r["status"], (r["response"] or {}).get("affected_rows"))
           for r in calls]
    check(got == WANTED, f"psql's calls are {WANTED}, recorded {got}")
    got = [(r["request"]["command"], r["status"]) for r in seen_by(records, "psycopg2")
           if r["request"]["command"] != "STARTUP"]
    check(got == psycopg2_calls, f"psycopg2's calls are {psycopg2_calls}, recorded {got}")
    selects = 0
    for name, want in (("bench-simple", EACH), ("bench-extended", EACH),
                       ("bench-prepared", EACH), ("pipe-extended", 3 * PIPELINES),
                       ("pipe-prepared", 3 * PIPELINES)):
        count = collections.Counter((r["request"]["command"], r["status"])
                                    for r in seen_by(records, name))
        print(name, dict(count))
        check(count["SELECT", "ok"] == want, f"{name}: {want} calls, {count} records")
        check(set(count) <= {("SELECT", "ok"), ("STARTUP", "ok"), ("PREPARE", "ok")},
              f"{name}: {count}")
        selects += want
    points = sum(r["request"].get("query_text", "").startswith("SELECT name FROM t")
                 for r in records if r["request"]["command"] == "SELECT")
    stats = l.on(client, "psql", "-qAtc", "SELECT sum(calls) FROM pg_stat_statements "
                 "WHERE query LIKE 'SELECT name FROM t WHERE%'")
    check(points == int(stats), f"the server counted {stats.strip()} calls, the records {points}")
    for mode in ("simple", "extended", "prepared"):
        check_latency(l, mode, seen_by(records, f"bench-{mode}"))
    flagged = [r for r in records if r.get("flags") or r["status"] == "unanswered"]
    check(not flagged, f"flagged without a loss: {flagged[:3]}")
    print(f"{len(records)} records, {selects} SELECTs of pgbench, point queries {points} = "
          f"pg_stat_statements {stats.strip()}")


if __name__ == "__main__":
    lab.main(run)
