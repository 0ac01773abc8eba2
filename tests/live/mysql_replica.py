#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Replication of MariaDB: mariadb-binlog reads a log over the network, a second mariadbd replicates
and acknowledges (semi-sync). A dump is one record; its events and the acknowledgements are those that
the reader, the log and the server count.

    mysql_replica.py TAPLINE"""
import re
import shutil

import lab
import mysql_server
from lab import check

TRANSACTIONS = 40
REPLICA = "10.99.0.1"


def printed_by(l, namespace, file):
    """Events that mariadb-binlog prints."""
    text = l.on(namespace, "mariadb-binlog", "--no-defaults", "--read-from-remote-server",
                f"--host={lab.HTTP}", "--user=app", "--password=pw", file)
    return len(re.findall(r"^# at \d+$", text, re.M))


def logged(server, file, position=4):
    """Events that the server's log has from `position` on."""
    return len(server.local(f"SHOW BINLOG EVENTS IN '{file}' FROM {position}").splitlines())


def status(server, name):
    return int(server.local(f"SHOW GLOBAL STATUS LIKE '{name}'").split("\t")[1])


def replicate(master, replica, file, position):
    """Transactions of the master, each acknowledged by the replica."""
    # Without heartbeats: how many there are would be a matter of time.
    replica.local(f"CHANGE MASTER TO MASTER_HOST='{lab.HTTP}', MASTER_USER='app', "
                  f"MASTER_PASSWORD='pw', MASTER_USE_GTID=no, MASTER_HEARTBEAT_PERIOD=0, "
                  f"MASTER_LOG_FILE='{file}', MASTER_LOG_POS={position}; START SLAVE")
    lab.wait_for("the replica", lambda: status(master, "Rpl_semi_sync_master_clients") == 1, 30)
    master.local("SET GLOBAL rpl_semi_sync_master_enabled = 1;" +
                 "".join(f"INSERT INTO shop.t1 (name) VALUES ('replicated {n}');"
                         for n in range(TRANSACTIONS)))
    lab.wait_for("the replica to have it all", lambda: replica.local(
        "SELECT COUNT(*) FROM shop.t1 WHERE name LIKE 'replicated%'").strip() == str(TRANSACTIONS), 30)
    replica.local("STOP SLAVE")


def run(l):
    lab.need("mariadb-binlog")
    client, host = l.pair(offload=False)
    shutil.copytree(mysql_server.install(l), l.folder / "replica")
    master = mysql_server.Server(l, host, "--server-id=1", f"--log-bin={l.folder}/bin",
                                 "--rpl-semi-sync-master-timeout=60000")
    replica = mysql_server.Server(l, client, "--server-id=2", "--rpl-semi-sync-slave-enabled=1",
                                  f"--relay-log={l.folder}/relay", name="replica", address=REPLICA)
    agent = l.agent(host, ["interface: s0"])
    file, position = master.local("SHOW MASTER STATUS").split("\t")[:2]
    printed, had = printed_by(l, client, file), logged(master, file)
    replicate(master, replica, file, position)
    acks = status(master, "Rpl_semi_sync_master_get_ack")
    more = logged(master, file, position)
    own, seen, state = l.settled(host)
    losses = lab.check_books(own, seen, state)
    l.stop(agent)
    counted = {labels["event"]: int(n) for name, labels, n in own.samples
               if name == "tapline_decoder_events_total" and labels["protocol"] == "mysql"}
    records = [r for r in l.records() if r["protocol"] == "mysql"]
    commands = lab.count_by(records, "request", "command")
    print(f"mariadb-binlog printed {printed} events of {had}, the replica was sent {more} more and "
          f"acknowledged {acks}; counted {counted['binlog_events']} events, "
          f"{counted['semi_sync_acks']} acknowledgements; records {commands}; lost {losses}")
    if sum(losses.values()) > 0:
        print("the probe lost packets: only the books are checked")
        return
    check(printed == had, "mariadb-binlog prints not what the log has")
    # In front of a log the server sends a Rotate, to where there is more before a format description.
    check(counted["binlog_events"] == printed + 1 + more + 2, "not as many events")
    check(acks == TRANSACTIONS and counted["semi_sync_acks"] == acks, "not as many acknowledgements")
    check(commands.get("BINLOG_DUMP") == 2 and commands.get("REGISTER_SLAVE") == 1, "other commands")
    odd = [r for r in records if r["status"] not in ("ok", "one_way") or r.get("flags")]
    check(not odd, f"something failed or was not understood: {odd[:3]}")
    for event in ("bad_command", "misaligned", "stray_packets"):
        check(counted[event] == 0, f"{event}: {counted[event]}")


if __name__ == "__main__":
    lab.main(run)
