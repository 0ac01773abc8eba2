#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL with psql and pgbench in each mode: the records are the clients' own calls, and the
server's pg_stat_statements agrees with them."""
import collections
import os
import pathlib
import time

import lab
from lab import check

PORT = "5432"
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
    (l.folder / "calls.sql").write_text(CALLS)
    (l.folder / "point.sql").write_text(POINT)
    (l.folder / "pipeline.sql").write_text(PIPELINE)
    l.on(client, "psql", "-q", "-f", l.folder / "calls.sql")
    for mode in ("simple", "extended", "prepared"):
        l.on(client, "env", f"PGAPPNAME=bench-{mode}", "pgbench", "-n", "-M", mode,
             "-f", l.folder / "point.sql", "-t", "500", "-c", "2")
    for mode in ("extended", "prepared"):
        l.on(client, "env", f"PGAPPNAME=pipe-{mode}", "pgbench", "-n", "-M", mode,
             "-f", l.folder / "pipeline.sql", "-t", "100")
    time.sleep(0.3)
    own, seen, status = l.settled(there)
    losses = lab.check_books(own, seen, status)
    l.stop(agent)
    check(sum(losses.values()) == 0, f"the probe lost something: {losses}")
    records = [r for r in l.records() if r["protocol"] == "postgresql"]

    calls = [r for r in seen_by(records, "psql") if r["request"]["command"] != "STARTUP"]
    got = [(r["request"]["command"], r["status"], (r["response"] or {}).get("affected_rows"))
           for r in calls]
    check(got == WANTED, f"psql's calls are {WANTED}, recorded {got}")
    selects = 0
    for name, want in (("bench-simple", 1000), ("bench-extended", 1000), ("bench-prepared", 1000),
                       ("pipe-extended", 300), ("pipe-prepared", 300)):
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
    flagged = [r for r in records if r.get("flags") or r["status"] == "unanswered"]
    check(not flagged, f"flagged without a loss: {flagged[:3]}")
    print(f"{len(records)} records, {selects} SELECTs of pgbench, point queries {points} = "
          f"pg_stat_statements {stats.strip()}")


lab.main(run)
