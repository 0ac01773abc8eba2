#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Apache Kafka 4.1 in KRaft mode with its Java client, kcat and python3-kafka: the records are the
requests that the clients say they sent, with version, client id and correlation id.

usage: kafka_broker.py TAPLINE [--pcap FILE]

The broker and its client come from Maven Central; where that can't be reached, or mvn, java or
root are missing, the test is skipped with exit status 77. --pcap keeps the capture (scripts/
record-kafka). The broker runs in a network namespace of its own.
"""
import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
VERSION = "4.1.0"
CAPTURES = HERE.parent / "captures"
NAMESPACE = f"tl-kafka-{os.getpid()}"
PLAIN, SASL = "127.0.0.1:9092", "127.0.0.1:9094"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>tapline</groupId><artifactId>broker</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
<version>{VERSION}</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId>
<version>1.7.36</version></dependency></dependencies></project>"""
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:19093
listeners=PLAINTEXT://127.0.0.1:9092,SASL_PLAINTEXT://127.0.0.1:9094,CONTROLLER://127.0.0.1:19093
advertised.listeners=PLAINTEXT://127.0.0.1:9092,SASL_PLAINTEXT://127.0.0.1:9094
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.sasl_plaintext.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_app="secret";
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
connection.failed.authentication.delay.ms=100
"""
SENT = re.compile(r"Sending (\w+) request with header RequestHeader\(apiKey=\w+, apiVersion=(\d+), "
                  r"clientId=([^,]*), correlationId=(-?\d+)")
# The Java client's names are the record's but for these.
NAMES = {"ADD_OFFSETS_TO_TXN": "AddOffsetsToTxn", "ADD_PARTITIONS_TO_TXN": "AddPartitionsToTxn"}


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def check(condition, text):
    if not condition:
        raise SystemExit(f"FAILED: {text}")


def java(libraries, *arguments, **options):
    return subprocess.run(("ip", "netns", "exec", NAMESPACE, "java", "-Xmx256m",
                           "-XX:TieredStopAtLevel=1", "-cp", f"{libraries}/*", *arguments),
                          capture_output=True, text=True, timeout=100, check=False, **options)


def fetch(folder):
    """The broker's libraries."""
    (folder / "pom.xml").write_text(POM)
    libraries = folder / "lib"
    try:
        done = subprocess.run(("mvn", "-q", "-B", "dependency:copy-dependencies",
                               "-DincludeScope=runtime", f"-DoutputDirectory={libraries}"),
                              cwd=folder, capture_output=True, text=True, timeout=180, check=False)
    except subprocess.TimeoutExpired:
        skip("Maven Central does not answer within 180 s")
    if done.returncode != 0:
        skip(f"Maven Central gives no Kafka {VERSION}: {done.stdout.strip()[:300]}")
    return libraries


def start_broker(folder, libraries, text=PROPERTIES, scram=("SCRAM-SHA-256=[name=app,password=secret]",)):
    properties = folder / "server.properties"
    properties.write_text(text + f"log.dirs={folder}/data\n")
    done = java(libraries, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk",
                *(word for one in scram for word in ("-S", one)), "-c", str(properties))
    check(done.returncode == 0, f"format: {done.stderr[-500:]}")
    log = folder / "broker.log"
    with open(log, "wb") as f:
        broker = subprocess.Popen(("ip", "netns", "exec", NAMESPACE, "java", "-Xmx384m",
                                   "-XX:TieredStopAtLevel=1", "-cp", f"{libraries}/*",
                                   "kafka.Kafka", str(properties)), stdout=f, stderr=f)
    for _ in range(120):
        if "Kafka Server started" in log.read_text(errors="replace"):
            return broker
        check(broker.poll() is None, f"the broker ended: {log.read_text()[-800:]}")
        time.sleep(0.5)
    raise SystemExit("FAILED: the broker does not start")


def start_capture(path):
    capture = subprocess.Popen(("ip", "netns", "exec", NAMESPACE, "tcpdump", "-Z", "root", "-i", "lo",
                                "-U", "--immediate-mode", "-B", "16384", "-s", "0", "-w", str(path),
                                "tcp port 9092 or tcp port 9094"), stderr=subprocess.PIPE, text=True)
    while "listening on" not in capture.stderr.readline():
        check(capture.poll() is None, "tcpdump does not start")
    return capture


def java_calls(libraries, sent):
    simple = "-Dorg.slf4j.simpleLogger."
    done = java(libraries, simple + "defaultLogLevel=warn",
                simple + "log.org.apache.kafka.clients.NetworkClient=debug",
                simple + "log.org.apache.kafka.common.security.authenticator=debug",
                str(HERE / "KafkaCalls.java"), PLAIN, SASL)
    check(done.returncode == 0 and "finished" in done.stdout,
          f"the Java client: {done.stdout[-500:]} {done.stderr[-800:]}")
    for name, version, client, key in SENT.findall(done.stderr):
        name = NAMES.get(name, name.title().replace("_", ""))
        sent[name.lower(), int(version), client, int(key)] += 1
    states = collections.Counter(re.findall(r"Set SASL client state to (\w+)", done.stderr))
    print(f"Java client: {sum(sent.values())} requests; {done.stdout.count('failed')} refusals")
    return states, int(re.search(r"consumed c-classic (\d+)", done.stdout)[1])


def kcat(sent_kinds):
    for arguments, text in ((("-P", "-t", "orders", "-z", "zstd"), "a\n" * 50),
                            (("-C", "-t", "orders", "-o", "-5", "-e", "-q"), None),
                            (("-G", "cats", "orders", "-e", "-c", "20"), None),
                            (("-L", "-X", "security.protocol=SASL_PLAINTEXT", "-X",
                              "sasl.mechanisms=PLAIN", "-X", "sasl.username=app", "-X",
                              "sasl.password=secret"), None)):
        address = SASL if "-L" in arguments else PLAIN
        done = subprocess.run(("ip", "netns", "exec", NAMESPACE, "kcat", "-b", address, "-X",
                               "client.id=cat", "-d", "protocol,security", *arguments), input=text,
                              capture_output=True, text=True, timeout=60, check=False)
        check(done.returncode == 0, f"kcat {arguments}: {done.stderr[-400:]}")
        for name, version in re.findall(r"Sent (\w+?)Request \(v(\d+),", done.stderr):
            name = {"ApiVersion": "ApiVersions"}.get(name, name)
            sent_kinds[name.lower(), int(version)] += 1


TOKENS = """
import kafka
for mechanism in ("PLAIN", "SCRAM-SHA-256"):
    client = kafka.KafkaConsumer(bootstrap_servers="%s", client_id="python",
        security_protocol="SASL_PLAINTEXT", sasl_mechanism=mechanism, sasl_plain_username="app",
        sasl_plain_password="secret", api_version=(0, 11, 0))
    assert "orders" in client.topics()
    client.close()
""" % SASL


def bare_tokens():
    """python3-kafka authenticates by tokens without headers. False: it is not installed."""
    if subprocess.run(("/usr/bin/python3", "-c", "import kafka"), stderr=subprocess.DEVNULL,
                      check=False).returncode != 0:
        return False
    subprocess.run(("ip", "netns", "exec", NAMESPACE, "/usr/bin/python3", "-c", TOKENS), check=True,
                   timeout=60)
    return True


def records_of(tapline, capture):
    done = subprocess.run((tapline, "watch", "-q", "-o", "json", "--workers", "1", "--pcap-file",
                           str(capture)),
                          capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def signed(number):
    return number - (1 << 32) if number >= 1 << 31 else number


class Judge:
    def __init__(self, records):
        self.records = records

    def having(self, **fields):
        return [r for r in self.records if r["request"] and
                all(r["request"].get(k) == v for k, v in fields.items())]

    def java(self, sent, states, consumed):
        # The broker talks to itself, too, and authentication has numbers of its own.
        clients = {client for _, _, client, _ in sent}
        ours = [r for r in self.records if r["request"] and
                r["request"].get("client_id") in clients and
                r["request"]["correlation_id"] < 0x7ffffff8]
        found = collections.Counter((r["request"]["api"].lower(), r["request"]["api_version"],
                                     r["request"]["client_id"],
                                     signed(r["request"]["correlation_id"])) for r in ours)
        check(found == sent, f"recorded, not sent: {found - sent}; sent, not recorded: {sent - found}")
        sasl = collections.Counter(r["request"]["api"] for r in self.having(client_id="auth")
                                   if r["request"]["correlation_id"] >= 0x7ffffff8)
        scram = len(self.having(client_id="auth", api="SaslHandshake",
                                sasl_mechanism="SCRAM-SHA-256"))
        check(sasl["SaslHandshake"] == states["SEND_HANDSHAKE_REQUEST"] >= 3,
              f"handshakes: {sasl}, {states}")
        check(sasl["ApiVersions"] == states["SEND_APIVERSIONS_REQUEST"], f"{sasl}, {states}")
        check(sasl["SaslAuthenticate"] == sasl["SaslHandshake"] + scram and scram > 0,
              f"{sasl}, {scram}: PLAIN takes one token, SCRAM two")
        errors = collections.Counter((r["request"]["api"], r["response"]["error"]) for r in ours
                                     if r["status"] == "client_error")
        for error in (("CreateTopics", "TOPIC_ALREADY_EXISTS"), ("Produce", "MESSAGE_TOO_LARGE"),
                      ("IncrementalAlterConfigs", "INVALID_CONFIG"),
                      ("DeleteGroups", "GROUP_ID_NOT_FOUND")):
            check(errors[error] >= 1, f"no {error} among {errors}")
        refused = [r for r in self.having(api="SaslAuthenticate") if r["status"] == "client_error"]
        check(len(refused) == 1 and refused[0]["response"]["error"] == "SASL_AUTHENTICATION_FAILED",
              "the wrong password was not refused")
        check(all(r["status"] == "one_way" for r in self.having(client_id="p-silent", api="Produce")),
              "acks 0 is not one way")
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            rows = self.having(client_id=f"p-{codec}", api="Produce", compression=codec)
            count = sum(r["request"]["records"] for r in rows)
            check(count == 10, f"{codec}: {count} records of 10")
            traced = sum(r.get("trace", {}).get("trace_id") == "0af7651916cd43dd8448eb211c80319c"
                         for r in rows)
            check(traced == (len(rows) if codec == "none" else 0), f"{codec}: {traced} traced")
        fetched = sum((r["response"] or {}).get("records", 0)
                      for r in self.having(client_id="c-classic", api="Fetch"))
        check(fetched >= consumed, f"{consumed} consumed, {fetched} recorded")
        by_id = [r for r in self.having(api="Fetch") if "topic_id" in r["request"]]
        check(by_id and all(len(i) == 22 for r in by_id for i in r["request"]["topic_id"]),
              "no topic ids")
        check(all(len(r["request"].get("topic", ())) == len(r["request"]["topic_id"])
                  for r in by_id if r["request"].get("client_id") in clients),
              "a topic id without a name")
        transactional = [r for r in self.having(client_id="p-txn")
                         if r["request"].get("transactional_id") == ["txn-1"]]
        apis = {r["request"]["api"] for r in transactional}
        check({"InitProducerId", "Produce", "EndTxn", "TxnOffsetCommit"} <= apis, f"{apis}")
        waits = [r for r in self.having(api="Fetch") if r["timing"].get("wait_ns", 0) > 400e6]
        check(waits, "no long poll")

    def others(self, kinds, has_tokens):
        found = collections.Counter((r["request"]["api"].lower(), r["request"]["api_version"])
                                    for r in self.having(client_id="cat"))
        check(found == kinds, f"kcat: {found - kinds} recorded only, {kinds - found} sent only")
        tokens = [r for r in self.records if r["request"] and "api_version" not in r["request"]]
        check(len(tokens) == (2 if has_tokens else 0), f"{len(tokens)} authentications by tokens")
        check(all(r["status"] == "ok" for r in tokens), "an authentication that is not ok")
        check({r["request"]["sasl_mechanism"] for r in tokens} <= {"PLAIN", "SCRAM-SHA-256"},
              "mechanisms")

    def all(self):
        check(not any(r["protocol"] != "kafka" for r in self.records), "another protocol")
        check(not any(r["status"] in ("orphan", "timeout") for r in self.records), "orphans")
        flags = {flag for r in self.records for flag in r.get("flags", [])}
        check(flags <= {"early_response", "retransmitted"}, f"flags {flags}")
        kinds = {(r["request"]["api"], r["request"].get("api_version")) for r in self.records}
        text = json.dumps(self.records)
        check("secret" not in text, "a password was recorded")
        print(f"{len(self.records)} records of {len(kinds)} APIs and versions, "
              f"{dict(collections.Counter(r['status'] for r in self.records))}")


def has_sink(tapline):
    version = subprocess.run((tapline, "version"), capture_output=True, text=True, check=True).stdout
    return "kafka" in version.split("features")[1].splitlines()[0].split()


def check_sink(tapline, folder):
    """The exporter `kafka`, by SASL: what the broker stored is what `watch` shows."""
    if not has_sink(tapline):
        print("this tapline was built without librdkafka: its sink is not tested")
        return
    config, capture, empty = folder / "sink.yaml", CAPTURES / "http-nginx.pcap", folder / "empty.pcap"
    empty.write_bytes(capture.read_bytes()[:24])
    for source in [capture] + 20 * [empty]:  # a broker that was slow gets the rest from further runs
        config.write_text(
            f"capture: {{ports: [{{file: {source}}}]}}\nserver: {{enabled: false}}\n"
            "collectors: {metrics: false}\nexporters: {kafka: [{topic: sink, brokers: '" + SASL + "', "
            "properties: {security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, "
            f"sasl.username: app, sasl.password: secret}}, queue: {{directory: {folder}/queue}}}}]}}\n")
        done = subprocess.run(("ip", "netns", "exec", NAMESPACE, tapline, "agent", "--config", str(config)),
                              capture_output=True, text=True, timeout=120, check=False)
        check(done.returncode == 0 and "lost" not in done.stderr, f"the agent: {done.stderr[-800:]}")
        if "stay in the queue" not in done.stderr:
            break
    read = subprocess.run(("ip", "netns", "exec", NAMESPACE, "kcat", "-C", "-q", "-e", "-b", PLAIN, "-t",
                           "sink", "-o", "beginning"), capture_output=True, text=True, timeout=120,
                          check=False)
    stored = {r["id"]: r for r in map(json.loads, read.stdout.splitlines())}.values()
    seen, expected = (collections.Counter((r["time"], r["duration_ns"], r["status"]) for r in records)
                      for records in (stored, records_of(tapline, capture)))
    check(seen == expected, f"records in the broker {seen - expected}, missing {expected - seen}; "
          f"{done.stderr[-500:]} {read.stderr[-300:]}")
    print(f"{len(stored)} records by the sink")


def play(folder, libraries, capture):
    sent, kinds = collections.Counter(), collections.Counter()
    states, consumed = java_calls(libraries, sent)
    kcat(kinds)
    has_tokens = bare_tokens()
    time.sleep(0.5)
    capture.terminate()
    capture.wait(10)
    return sent, states, consumed, kinds, has_tokens


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tapline")
    parser.add_argument("--pcap")
    wish = parser.parse_args()
    if os.geteuid() != 0:
        skip("root is needed for a network namespace")
    for program in ("mvn", "java", "tcpdump", "kcat"):
        if shutil.which(program) is None:
            skip(f"{program} is not installed")
    with tempfile.TemporaryDirectory(prefix="tl-kafka-") as name:
        folder = pathlib.Path(name)
        libraries = fetch(folder)
        children = []
        subprocess.run(("ip", "netns", "add", NAMESPACE), check=True)
        try:
            subprocess.run(("ip", "-n", NAMESPACE, "link", "set", "lo", "up"), check=True)
            children.append(start_broker(folder, libraries))
            path = folder / "kafka.pcap"
            children.append(start_capture(path))
            played = play(folder, libraries, children[-1])
            check_sink(wish.tapline, folder)
        finally:
            for child in children:
                if child.poll() is None:
                    child.kill()
                child.wait(20)
            subprocess.run(("ip", "netns", "del", NAMESPACE), check=False)
        if wish.pcap:
            shutil.copyfile(path, wish.pcap)
        judge = Judge(records_of(wish.tapline, path))
        judge.all()
        judge.java(*played[:3])
        judge.others(*played[3:])


if __name__ == "__main__":
    main()
