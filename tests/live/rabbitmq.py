#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""rabbitmq-server with python3-pika: the records are the client's calls, and what the broker says
of its queues (docs/protocols/amqp.md).

usage: rabbitmq.py TAPLINE [--record FILE]   also writes what is on the wire into FILE"""
import collections
import os
import sys
import time

import lab
from lab import check

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
PORT = 5672
RECORDS = "--record" in sys.argv
LARGE = 6000 if RECORDS else 300000  # bytes, in several body frames


def server(l, namespace):
    if not os.path.exists(SERVER):
        raise lab.Skip("rabbitmq-server is not installed")
    home = l.folder / "rabbit"
    home.mkdir()
    conf = home / "rabbitmq.conf"
    conf.write_text("loopback_users = none\n")
    env = dict(os.environ, HOME=str(home), RABBITMQ_NODENAME="tapline@localhost",
               RABBITMQ_NODE_IP_ADDRESS=lab.HTTP, RABBITMQ_NODE_PORT=str(PORT),
               RABBITMQ_MNESIA_BASE=str(home / "mnesia"), RABBITMQ_LOG_BASE=str(home / "log"),
               RABBITMQ_CONFIG_FILE=str(conf), ERL_EPMD_ADDRESS="127.0.0.1",
               RABBITMQ_ENABLED_PLUGINS_FILE=str(home / "plugins"))
    child = l.start(namespace, SERVER, log="rabbit.log", env=env, cwd=home)
    lab.wait_for("rabbitmq-server", lambda: l.answers(namespace, lab.HTTP, PORT), 120)
    return child


class Calls:
    """Counts what is asked of the broker: (class, method, status) as a record has them."""

    def __init__(self):
        self.count = collections.Counter()

    def add(self, method, status="ok", n=1):
        self.count[(method, status)] += n


def declare(channel, calls):
    channel.exchange_declare("news", "topic", durable=True)
    channel.exchange_declare("all", "fanout")
    channel.exchange_bind("all", "news", "#")
    calls.add("Exchange.Declare", n=2)
    calls.add("Exchange.Bind")
    for name in ("inbox", "other"):
        channel.queue_declare(name)
        channel.queue_bind(name, "all")
        calls.add("Queue.Declare")
        calls.add("Queue.Bind")


def publish(pika, connection, calls):
    """Without confirms, then with them; one of those is returned."""
    channel = connection.channel()
    calls.add("Channel.Open")
    declare(channel, calls)
    properties = pika.BasicProperties(content_type="text/plain", message_id="m1",
                                      correlation_id="c1", reply_to="inbox",
                                      headers={"n": 7, "who": "me"}, timestamp=1700000000)
    for n in range(20):
        channel.basic_publish("news", f"k.{n}", b"x" * (n * 50), properties)
    channel.basic_publish("news", "large", b"y" * LARGE)
    calls.add("Basic.Publish", "one_way", 21)
    channel.close()
    calls.add("Channel.Close")
    channel = connection.channel()
    channel.confirm_delivery()
    calls.add("Channel.Open")
    calls.add("Confirm.Select")
    for n in range(30):
        channel.basic_publish("news", "sure", b"z" * n, mandatory=True)
    calls.add("Basic.Publish", n=30)
    try:
        channel.basic_publish("", "no.such.queue", b"lost", mandatory=True)
        raise lab.Failed("a message to nowhere came through")
    except pika.exceptions.UnroutableError:
        calls.add("Basic.Publish", "client_error")
    channel.close()
    calls.add("Channel.Close")


def until(connection, is_done):
    """Takes what comes until it is enough; a busy machine may take its time."""
    end = time.monotonic() + 60
    while not is_done() and time.monotonic() < end:
        connection.process_data_events(0.1)


def consume(connection, calls):
    """Ack of one and of several, reject, nack; without acknowledgement; get."""
    channel = connection.channel()
    channel.basic_qos(prefetch_count=100)
    calls.add("Channel.Open")
    calls.add("Basic.Qos")
    got = []

    def take(ch, method, properties, body):
        got.append(method.delivery_tag)
        if len(got) == 10:
            ch.basic_ack(method.delivery_tag, multiple=True)
        elif len(got) == 11:
            ch.basic_reject(method.delivery_tag, requeue=False)
        elif len(got) == 12:
            ch.basic_nack(method.delivery_tag, requeue=False)
        elif len(got) > 12:
            ch.basic_ack(method.delivery_tag)

    tag = channel.basic_consume("inbox", take)
    until(connection, lambda: len(got) >= 51)
    check(len(got) == 51, f"{len(got)} of 51 messages came")
    channel.basic_cancel(tag)
    calls.add("Basic.Consume")
    calls.add("Basic.Cancel")
    calls.add("Basic.Deliver", n=51)
    for n in range(3):
        method, _, _ = channel.basic_get("other", auto_ack=n == 0)
        check(method is not None, "no message to get")
        calls.add("Basic.Get")
        if n != 0:
            channel.basic_ack(method.delivery_tag)
            calls.add("Basic.Get-Ok")
    check(channel.basic_get("inbox")[0] is None, "a message is left")
    calls.add("Basic.Get")
    free = []
    tag = channel.basic_consume("other", lambda *a: free.append(1), auto_ack=True)
    until(connection, lambda: len(free) >= 48)
    channel.basic_cancel(tag)
    calls.add("Basic.Consume")
    calls.add("Basic.Cancel")
    calls.add("Basic.Deliver", "one_way", len(free))
    channel.close()
    calls.add("Channel.Close")


def errors(pika, connection, calls):
    """Closes by the server: of channels, then of a connection."""
    for what, failing in ((lambda c: c.queue_declare("none", passive=True), "Queue.Declare"),
                          (lambda c: c.exchange_declare("news", "direct"), "Exchange.Declare")):
        channel = connection.channel()
        calls.add("Channel.Open")
        try:
            what(channel)
            raise lab.Failed("the broker took what it must refuse")
        except pika.exceptions.ChannelClosedByBroker:
            calls.add(failing, "reset")
            calls.add("Channel.Close", "client_error")
    channel = connection.channel()
    calls.add("Channel.Open")
    channel.tx_select()
    channel.basic_publish("", "inbox", b"tx")
    channel.tx_commit()
    channel.basic_publish("", "inbox", b"tx")
    channel.tx_rollback()
    calls.add("Tx.Select")
    calls.add("Tx.Commit")
    calls.add("Tx.Rollback")
    calls.add("Basic.Publish", "one_way", 2)
    channel.queue_purge("inbox")
    calls.add("Queue.Purge")
    channel.queue_unbind("other", "all")
    channel.exchange_unbind("all", "news", "#")
    channel.exchange_delete("all")
    calls.add("Queue.Unbind")
    calls.add("Exchange.Unbind")
    calls.add("Exchange.Delete")
    # What is left in the end: one message in `other`.
    channel.basic_publish("", "other", b"left")
    calls.add("Basic.Publish", "one_way")
    channel.tx_commit()
    calls.add("Tx.Commit")


def client(pika, calls):
    parameters = pika.ConnectionParameters(lab.HTTP, PORT, heartbeat=30)
    connection = pika.BlockingConnection(parameters)
    calls.add("Connection.Start")
    calls.add("Connection.Tune")
    calls.add("Connection.Open")
    publish(pika, connection, calls)
    consume(connection, calls)
    errors(pika, connection, calls)
    connection.close()
    # pika closes each channel that is open.
    calls.add("Channel.Close")
    calls.add("Connection.Close")
    try:
        pika.BlockingConnection(pika.ConnectionParameters(lab.HTTP, PORT, "/none"))
        raise lab.Failed("a virtual host that is none was opened")
    except pika.exceptions.AMQPConnectionError:
        calls.add("Connection.Start")
        calls.add("Connection.Tune")
        calls.add("Connection.Open", "reset")
        calls.add("Connection.Close", "unanswered")  # pika closes the socket instead


def queues(l, namespace):
    """{queue: messages} by the broker itself."""
    home = l.folder / "rabbit"
    env = dict(os.environ, HOME=str(home))
    out = l.on(namespace, "/usr/lib/rabbitmq/bin/rabbitmqctl", "-q", "-n", "tapline@localhost",
               "list_queues", "--no-table-headers", "name", "messages", env=env)
    return {line.split()[0]: int(line.split()[1]) for line in out.splitlines() if line.strip()}


def run(l):
    try:
        import pika
    except ImportError:
        raise lab.Skip("python3-pika is not installed")
    left, host = l.pair(offload=False)
    server(l, host)
    agent = l.agent(host, ["interface: s0"])
    dump = None
    if RECORDS:
        dump = l.start(left, "tcpdump", "-Z", "root", "-i", "c0", "-U", "--immediate-mode", "-s",
                       "0", "-w", sys.argv[sys.argv.index("--record") + 1], "tcp port 5672",
                       log="tcpdump.log")
        lab.wait_for("tcpdump", lambda: "listening" in dump.log.read_text())
    calls = Calls()
    with l.inside(left):
        client(pika, calls)
    counted = queues(l, host)
    own, seen, status = l.settled(host)
    losses = lab.check_books(own, seen, status)
    l.stop(agent)
    if dump is not None:
        l.stop(dump)
    records = [r for r in l.records() if r["protocol"] == "amqp"]
    found = collections.Counter()
    for r in records:
        half = r.get("request") or r.get("response")
        method = f"{half['class']}.{half['method']}"
        # What the kernel sends for a socket that is closed on a Close depends on what was read.
        closed = method == "Connection.Close" and r["status"] == "reset"
        found[(method, "unanswered" if closed else r["status"])] += 1
    print(f"{len(records)} records of {len(found)} kinds, {lab.count_by(records, 'status')}, "
          f"lost {losses}")
    if sum(losses.values()) > 0:
        print("the probe lost packets: only the books are checked")
        return
    for key in sorted(set(calls.count) | set(found)):
        check(calls.count[key] == found[key],
              f"{key}: {calls.count[key]} by the client, {found[key]} recorded")
    # A record's message_count is what the broker said; list_queues what is left in the end.
    check(counted == {"inbox": 0, "other": 1}, f"the broker counts {counted}")
    returned = [r for r in records if r.get("reason") == "returned"]
    check(len(returned) == 1 and returned[0]["response"]["reply_code"] == 312, "the return")
    refused = [r["request"]["failed_method"] for r in records
               if "failed_method" in (r["request"] or {})]
    check(refused == ["Queue.Declare", "Exchange.Declare", "Connection.Open"],
          f"closed for {refused}")
    large = [r for r in records if (r.get("request") or {}).get("routing_key") == "large" and
             r["request"]["method"] == "Publish"]
    check(large and large[0]["request"]["body_bytes"] == LARGE, "the large message")


lab.main(run)
