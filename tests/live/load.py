#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a load costs with the agent beside it and without: figures of docs/benchmark.md. No test.

usage: load.py TAPLINE [SECONDS]

redis-benchmark, pgbench and mariadb-slap over a veth pair, each part first without and then with an
agent that keeps metrics only. Prints the machine's load, then rows of a table: the better rate of two
that the client saw, what the agent took of a CPU and of memory, and the share of requests that it
counted. Two to three minutes with 5 seconds, the default, for each run."""
import os
import pathlib
import re
import sys
import time

import lab
import mysql_server
import postgresql
import redis_server

SECONDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5


def start_agent(l, namespace):
    conf = l.folder / "load.yaml"
    conf.write_text("probe: load\ncapture:\n  ports:\n    - interface: s0\n")
    child = l.start(namespace, l.tapline, "agent", "--config", conf, log="agent.log")
    lab.wait_for("the agent", lambda: l.get(namespace, "/readyz") is not None, 15)
    return child


def cpu_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(l, there, name, protocol, load, count):
    """`load` gives (requests per second), `count` what the server has answered so far."""
    alone = max(load(), load())
    agent = start_agent(l, there)
    before, cpu, began = count(), cpu_of(agent.pid), time.monotonic()
    rate = max(load(), load())
    took = time.monotonic() - began
    cpu, done = cpu_of(agent.pid) - cpu, count() - before
    _, seen, status = l.settled(there)
    resident = int(re.search(r"VmRSS:\s+(\d+)",
                             pathlib.Path(f"/proc/{agent.pid}/status").read_text())[1]) >> 10
    counted = seen.sum(f"{protocol}_requests_total")
    dropped = sum(status["ports"][0]["dropped"].values())
    print(f"| {name} | {alone / 1000:.1f} k/s | {rate / 1000:.1f} k/s | "
          f"{100 * cpu / took:.0f} % of a CPU, {resident} MB | {counted} of {done}, "
          f"{100 * counted / max(done, 1):.1f} % | {dropped} |", flush=True)
    l.stop(agent)


def redis(l, client, there):
    redis_server.server(l, there)
    stats = lambda: sum(v for k, v in redis_server.commandstats(l, there).items() if k == "GET")

    def bench(depth, requests):
        out = l.on(client, "redis-benchmark", "-h", lab.HTTP, "-c", "50", "-P", depth, "-n",
                   requests, "-t", "get", "--csv")
        return float(re.search(r'"GET","([\d.]+)"', out)[1])
    measure(l, there, "redis GET, 16 at once", "redis", lambda: bench(16, 200000 * SECONDS), stats)
    measure(l, there, "redis GET, one at a time", "redis", lambda: bench(1, 20000 * SECONDS), stats)


def pgbench(l, client, there):
    versions = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    lab.check(versions, "no PostgreSQL server is installed")
    postgresql.server(l, there, versions[-1].parent)
    os.environ.update(PGHOST=lab.HTTP, PGPORT=postgresql.PORT, PGUSER="postgres", PGPASSWORD="pw",
                      PGDATABASE="postgres")
    l.on(client, "pgbench", "-qi", "-s", "2", "--foreign-keys")
    l.on(client, "psql", "-qc", "CREATE EXTENSION pg_stat_statements")
    stats = lambda: int(l.on(there, "psql", "-qAtc", "SELECT coalesce(sum(calls), 0) FROM "
                             "pg_stat_statements WHERE query LIKE 'SELECT abalance%'"))
    for mode in ("simple", "prepared"):
        def load():
            out = l.on(client, "pgbench", "-n", "-S", "-M", mode, "-c", "8", "-T", SECONDS)
            return float(re.search(r"tps = ([\d.]+)", out)[1])
        measure(l, there, f"postgresql SELECT, {mode}", "postgresql", load, stats)


def slap(l, client, there):
    server = mysql_server.Server(l, there, name="mariadb")
    server.local("SET GLOBAL general_log = 0; CREATE TABLE shop.points (id INT PRIMARY KEY, c CHAR(120)); "
                 "INSERT INTO shop.points SELECT seq, REPEAT('c', 119) FROM shop.seq_1_to_10000")
    queries = 8000 * SECONDS

    def load():
        out = l.on(client, "mariadb-slap", "--no-defaults", f"-h{lab.HTTP}", "-uapp", "-ppw",
                   "--create-schema=shop", "--no-drop", "--concurrency=8",
                   f"--number-of-queries={queries}", "--query=SELECT c FROM points WHERE id = 4711")
        return queries / float(re.search(r"Average number of seconds.*: ([\d.]+)", out)[1])

    # Besides the queries a login of each of the clients, and their commands at its beginning and end.
    measure(l, there, "mariadb SELECT", "mysql", load, lambda: server.counters()["Com_select"])


def run(l):
    lab.need("redis-benchmark", "pgbench", "mariadb-slap")
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs, "
          f"{SECONDS} s for each run\n\n"
          "| load | without | with the agent | agent | counted | dropped by the port |\n"
          "|---|---|---|---|---|---|", flush=True)
    client, there = l.pair()
    redis(l, client, there)
    pgbench(l, client, there)
    slap(l, client, there)


lab.main(run)
