#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The tap loses packets of MariaDB's conversations: a statement is never paired with another's
answer. Each statement has a nonce, which its answer repeats: as LAST_INSERT_ID of an OK, in the
message of an error, or in the numbers of columns and rows of a result set.

    mysql_loss.py TAPLINE [SEEDS]     more seeds look closer, by hand"""
import random
import re
import sys
import threading

import lab
import mysql_server
import thinning
from lab import check

SEEDS = int(sys.argv[2]) if len(sys.argv) > 2 else 3
COLUMNS, ROWS = 7, 89


def statement(nonce):
    """Long and short ones, in a way the nonce decides; what it is shows in the text."""
    rng = random.Random(nonce)
    filler = "f" * rng.choice((0, 0, 30, 900, 5000))
    kind = rng.choice(("ok", "ok", "error", "rows", "rows"))
    if kind == "ok":
        return f"UPDATE t1 SET id = LAST_INSERT_ID({nonce}) + 0 * (id = 0 OR '{filler}' = '') " \
               f"WHERE id = -{nonce} OR LAST_INSERT_ID({nonce}) < 0"
    if kind == "error":
        return f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'nonce {nonce} here', MYSQL_ERRNO = " \
               f"30001 /* {filler} */"
    columns = ", ".join(["seq"] * (1 + nonce % COLUMNS))
    return f"SELECT {nonce} AS n, {columns}, '{filler}' FROM seq_1_to_{1 + nonce % ROWS}"


def pymysql_talk(connection, nonces, depth):
    """`depth` statements before the first answer is read."""
    import pymysql
    from pymysql.constants import COMMAND
    for at in range(0, len(nonces), depth):
        batch = nonces[at:at + depth]
        for nonce in batch:
            connection._execute_command(COMMAND.COM_QUERY, statement(nonce))
        for _ in batch:
            connection._next_seq_id = 1
            try:
                connection._read_query_result()
            except pymysql.err.MySQLError as error:
                check(error.args[0] == 30001, f"refused: {error}")


def pymysql_client(nonces, depth, reconnect):
    import pymysql
    for at in range(0, len(nonces), reconnect):
        connection = pymysql.connect(host=lab.HTTP, user="app", password="pw", database="shop",
                                     autocommit=None)
        pymysql_talk(connection, nonces[at:at + reconnect], depth)
        connection.close()


def packed_client(nonces, depth, reconnect):
    import MySQLdb
    for at in range(0, len(nonces), reconnect):
        connection = MySQLdb.connect(host=lab.HTTP, user="app", password="pw", database="shop",
                                     compress=True)
        cursor = connection.cursor()
        for nonce in nonces[at:at + reconnect]:
            try:
                cursor.execute(statement(nonce))
                cursor.fetchall()
            except MySQLdb.Error as error:
                check(error.args[0] == 30001, f"refused: {error}")
        connection.close()


def converse(l, namespace):
    failures, threads, total = [], [], 0
    kinds = [(pymysql_client, 300, 1, 300), (pymysql_client, 200, 1, 5), (pymysql_client, 240, 8, 60),
             (packed_client, 300, 1, 300), (packed_client, 200, 1, 10)]
    for client, count, depth, reconnect in kinds:
        nonces = list(range(total + 1, total + count + 1))
        total += count

        def work(client=client, arguments=(nonces, depth, reconnect)):
            try:
                with l.inside(namespace):
                    client(*arguments)
            except Exception as failure:  # whatever it is, the conversation isn't what it must be
                failures.append(repr(failure))
        threads.append(threading.Thread(target=work, daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        check(not thread.is_alive(), "the conversation hangs")
    check(not failures, f"the conversation failed: {failures[:2]}")
    return total


def asked(request):
    """The nonce in the text of a statement of ours."""
    m = re.search(r"LAST_INSERT_ID\((\d+)\)|nonce (\d+) here|SELECT (\d+) AS n",
                  request.get("query_text", ""))
    return int(next(n for n in m.groups() if n)) if m else None


def answers(nonce, kind, response):
    """Whether this answer may be the one to that statement."""
    if "error_message" in response:
        m = re.search(r"nonce (\d+) here", response["error_message"])
        return kind.startswith("SIGNAL") and m is not None and int(m[1]) == nonce
    if "columns" in response:
        return kind.startswith("SELECT") and response["columns"] == 3 + nonce % COLUMNS and \
            response["returned_rows"] == 1 + nonce % ROWS
    return kind.startswith("UPDATE") and int(response.get("last_insert_id", 0)) == nonce


def judge(records):
    counts = {"matched": 0, "unknown": 0, "alone": 0, "orphan": 0, "flagged": 0}
    wrong = []
    for r in records:
        if r["protocol"] != "mysql":
            continue
        nonce = asked(r["request"]) if r["request"] else None
        if r["request"] is not None and nonce is None:
            continue  # the login, what MySQLdb asks by itself
        if r.get("flags"):
            counts["flagged"] += 1
        if r["request"] is None or r["response"] is None:
            counts["orphan" if r["request"] is None else "alone"] += 1
        elif answers(nonce, r["request"]["query_text"], r["response"]):
            counts["matched"] += 1
        elif r["status"] == "unanswered":
            counts["unknown"] += 1  # given up in the middle of the answer
        else:
            wrong.append(r)
    return counts, wrong


def run(l):
    try:
        import MySQLdb  # noqa: F401
        import pymysql  # noqa: F401
    except ImportError as missing:
        raise lab.Skip(f"not installed: {missing}")
    client, host = l.pair(offload=False)
    server = mysql_server.Server(l, host)
    server.local("SET GLOBAL general_log = 0")
    data, total = thinning.record(l, host, lambda: converse(l, client))
    thinning.hold(l, data, total, SEEDS, "redact: false\n  mysql: {mask_literals: false, "
                  "query_text_max: 4096}", judge)


if __name__ == "__main__":
    lab.main(run)
