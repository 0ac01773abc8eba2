# SPDX-License-Identifier: Apache-2.0
"""What packetd is known to get wrong in MySQL, PostgreSQL and Redis: see failures.py."""
import struct

LONG = "é" * 600  # in UTF-8 the default limit of a text, 1024 bytes, lies within a character


def words(record):
    """Status, command and what it says, then what the answer says."""
    request, response = record.get("request") or {}, record.get("response") or {}
    found = [record["status"], request.get("command")]
    keys = {"mysql": (("query_summary", "query_text_length"), ("returned_rows", "affected_rows", "error_code")),
            "postgresql": (("query_summary", "query_text_length"),
                           ("tag", "returned_rows", "affected_rows", "sqlstate", "message")),
            "redis": ((), ("reply_type", "body_bytes", "error"))}[record["protocol"]]
    for half, names in zip((request, response), keys):
        found += [half[name] for name in names if name in half]
    if "query_text_length" in request:
        found.append(f"shown {len(request['query_text'].encode())}")
    return " ".join(str(word) for word in found)


# ---- MySQL ---------------------------------------------------------------------------------------


def packets(*bodies, number=0):
    return b"".join(struct.pack("<I", len(body))[:3] + bytes([(number + i) & 255]) + body
                    for i, body in enumerate(bodies))


DEPRECATE_EOF = 1 << 24
COLUMN = b"\3def\2db\1t\1t\1a\1a\x0c!\0\x14\0\0\0\xfd\0\0\0\0\0"
EOF = b"\xfe\0\0\2\0"
OK = b"\0\0\0\2\0\0\0"


def login(more=0):
    """Greeting, login, OK: turns of the client are the even ones."""
    capabilities = 0x0008a209 | more
    greeting = b"\n8.0.30\0\7\0\0\0abcdefgh\0" + struct.pack("<H", capabilities & 0xffff) + b"!\2\0" + \
        struct.pack("<H", capabilities >> 16) + b"\x15" + bytes(10) + b"ijklmnopqrst\0mysql_native_password\0"
    answer = struct.pack("<II", capabilities & ~8, 1 << 24) + b"!" + bytes(23) + b"app\0\x14" + b"s" * 20 + \
        b"mysql_native_password\0"
    return [[], packets(greeting), packets(answer, number=1), packets(OK, number=2)]


def query(text):
    return packets(b"\3" + text.encode())


def rows(*values, eof=EOF, end=EOF):
    cells = [struct.pack("B", len(v)) + v if len(v) < 251 else b"\xfc" + struct.pack("<H", len(v)) + v
             for v in values]
    return packets(b"\1", COLUMN, *([eof] if eof else []), *cells, end, number=1)


def mysql_cases(n, whole):
    def case(name, packetd, right, *turns, more=0):
        client = n.case("MySQL: " + name, packetd, ["ok LOGIN"] + right, "sweep")
        whole(n, client, *login(more), *turns, to=3306)
    no_eof = b"\xfe\0\0\2\0\0\0"
    case("no EOF packets (CLIENT_DEPRECATE_EOF), 4 statements", "0", ["ok QUERY SELECT t 1"] * 4,
         *[query("SELECT a FROM t"), rows(b"x", eof=None, end=no_eof)] * 4, more=DEPRECATE_EOF)
    long = rows(b"y" * 4000)
    case("a row of 4000 bytes in three segments", "0", ["ok QUERY SELECT t 1"],
         query("SELECT a FROM t"), [long[:1448], long[1448:2896], long[2896:]])
    case("an empty first column", "0", ["ok QUERY SELECT t 2"], query("SELECT a FROM t"), rows(b"", b"b"))
    prepared = packets(b"\0\1\0\0\0\1\0\1\0\0\0\0", COLUMN, EOF, COLUMN, EOF, number=1)
    binary = packets(b"\1", COLUMN, EOF, b"\0\0\1x", EOF, number=1)
    execute = packets(b"\x17\1\0\0\0\0\1\0\0\0\0\1\3\0\7\0\0\0")
    case("PREPARE and EXECUTE, the answer cut in its row", "rows 1, garbage",
         ["ok STMT_PREPARE SELECT t", "ok STMT_EXECUTE SELECT t 1"],
         packets(b"\x16SELECT a FROM t WHERE b = ?"), prepared, execute, [binary[:-12], binary[-12:]])
    case("10 times CLOSE and a query in one segment", "1", ["one_way STMT_CLOSE"] * 10 + ["ok QUERY SELECT 1"] * 10,
         *[packets(b"\x19\1\0\0\0") + query("SELECT 1"), rows(b"1")] * 10)
    two = packets(b"\1", COLUMN, EOF, b"\1a", b"\xfe\0\0\x0a\0", b"\1", COLUMN, EOF, b"\1b", b"\1c", EOF, number=1)
    case("two result sets", "the first", ["ok QUERY SELECT t; SELECT u 3"],
         query("SELECT a FROM t; SELECT b FROM u"), two)
    case("a text longer than is shown", "its first 1024 bytes", ["ok QUERY UPDATE t 1226 0 shown 1023"],
         query(f"UPDATE t SET {LONG}a = 'secret' WHERE d"), packets(OK, number=1))


# ---- PostgreSQL ----------------------------------------------------------------------------------


def message(kind, body=b""):
    return kind.encode() + struct.pack(">I", 4 + len(body)) + body


def texts(*strings):
    return b"".join(s.encode() + b"\0" for s in strings)


READY = message("Z", b"I")
ROW = message("T", b"\0\1a\0" + bytes(6) + b"\0\0\0\x17\0\4\xff\xff\xff\xff\0\0") + message("D", b"\0\1\0\0\0\1x")
SYNC = message("S")


def complete(tag):
    return message("C", texts(tag))


def simple(text):
    return message("Q", texts(text))


def postgresql_cases(n, whole):
    def case(name, packetd, right, *turns):
        whole(n, n.case("PostgreSQL: " + name, packetd, right, "sweep"), *turns, to=5432)
    selected = ROW + complete("SELECT 1") + READY
    one = "ok SELECT SELECT t SELECT 1 1"
    startup = b"\0\3\0\0" + texts("user", "bob", "")
    case("encryption asked for and refused, then 5 queries", "0", ["ok STARTUP"] + [one] * 5,
         b"\0\0\0\x08\x04\xd2\x16\x2f", b"N", struct.pack(">I", 4 + len(startup)) + startup,
         message("R", bytes(4)) + READY, *[simple("SELECT a FROM t"), selected] * 5)
    parse = message("P", texts("s1", "SELECT a FROM t") + b"\0\0")
    bind = message("B", texts("", "s1") + bytes(6)) + message("E", texts("") + bytes(4)) + SYNC
    case("a statement is prepared, then executed twice", "0 of 3", ["ok PREPARE SELECT t", one, one],
         parse + message("D", b"Ss1\0") + SYNC, message("1") + message("n") + READY,
         *[bind, message("2") + selected] * 2)
    case("an empty query and one behind it", "0", ["ok EMPTY", one], simple(""), message("I") + READY,
         simple("SELECT a FROM t"), selected)
    case("BEGIN, CREATE TABLE, COMMIT", "no command; CREATE",
         ["ok BEGIN BEGIN BEGIN 0", "ok CREATE CREATE TABLE t CREATE TABLE 0", "ok COMMIT COMMIT COMMIT 0"],
         simple("BEGIN"), complete("BEGIN") + READY, simple("CREATE TABLE t (a int)"),
         complete("CREATE TABLE") + READY, simple("COMMIT"), complete("COMMIT") + READY)
    error = message("E", texts("SERROR", "VERROR", "C23505", "Mduplicate key",
                               "DKey (Customer)=(My Shop) exists.", ""))
    case("an error whose detail has other fields' letters", "`ustomer)=...` as code",
         ["client_error INSERT INSERT t 23505 duplicate key"], simple("INSERT INTO t VALUES (1)"), error + READY)
    case("4 answers, each cut within ReadyForQuery", "1", [one] * 4,
         *[simple("SELECT a FROM t"), [selected[:-3], selected[-3:]]] * 4)
    case("a head in three pieces", "the decoder ends", [one, one],
         *[[b"Q", b"\0\0", simple("SELECT a FROM t")[3:]], selected] * 2)
    case("several statements in a query", "the first", ["ok SELECT SELECT t; UPDATE t SELECT 1 8"],
         simple("SELECT a FROM t; UPDATE t SET a = 1"), ROW + complete("SELECT 1") + complete("UPDATE 7") + READY)
    case("a text longer than is shown", "its first 1024 bytes", ["ok SELECT SELECT t 1223 SELECT 1 1 shown 1023"],
         simple(f"SELECT {LONG}a FROM t WHERE b"), selected)


# ---- Redis ---------------------------------------------------------------------------------------


def command(*arguments):
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%s\r\n" % (len(a), a) for a in arguments)


def redis_cases(n, whole):
    def case(name, packetd, right, *turns):
        whole(n, n.case("Redis: " + name, packetd, right, "sweep"), *turns, to=6379)
    ping, pong = command(b"PING"), b"+PONG\r\n"
    case("3 commands in one segment", "1", ["ok PING simple_string 4"] * 3, ping * 3, pong * 3)
    case("a value with line ends", "SET with GET's reply", ["ok SET simple_string 2", "ok GET bulk_string 6"],
         command(b"SET", b"k", b"a\r\nb\r\n"), b"+OK\r\n", command(b"GET", b"k"), b"$6\r\na\r\nb\r\n\r\n")
    case("RESP3: HELLO, a map, a null", "HELLO 0, the others 1 of 3", ["ok HELLO map 6", "ok GET null 0", "ok PING simple_string 4"],
         command(b"HELLO", b"3"), b"%1\r\n$5\r\nproto\r\n:3\r\n",
         command(b"GET", b"x"), b"_\r\n", ping, pong)
    case("a command typed by hand", "0", ["ok PING simple_string 4"], b"PING\r\n", pong)
    case("GETDEL of a key that is called set", "SET", ["ok GETDEL null 0"], command(b"GETDEL", b"set"), b"$-1\r\n")
    case("a module's command", "none", ["client_error JSON.SET error 19 ERR"], command(b"JSON.SET", b"k", b"."),
         b"-ERR unknown command\r\n")
    case("a head in two segments", "0", ["ok GET bulk_string 1"], [b"*2\r", command(b"GET", b"k")[3:]],
         [b"$", b"1\r\nx\r\n"])
    case("a push between command and reply", "none", ["one_way None", "ok GET bulk_string 1"],
         command(b"GET", b"k"), b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n$1\r\nv\r\n")
