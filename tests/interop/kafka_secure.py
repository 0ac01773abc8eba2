#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The exporter `kafka` against Apache Kafka 4.1 over TLS: with the broker's certificate, with one of
the client's, with SASL PLAIN and SCRAM; and what the agent says when one of these is wrong.

usage: kafka_secure.py TAPLINE

The broker comes from Maven Central. SCRAM with Kafka 4 needs librdkafka 2.6.1: where the installed one
is older, confluent-kafka from PyPI brings a newer one, and the installed one is shown to be refused
for the one reason that is known. What can't be had is skipped (77).
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import kafka_broker
from kafka_broker import CAPTURES, NAMESPACE, check, skip

LIBRARY = "confluent-kafka==2.11.1"
CAPTURE = CAPTURES / "kafka-broker.pcap"
PLAIN, SERVER = "127.0.0.1:9092", "127.0.0.1:9191"
PORTS = {"plaintext": 9092, "tls": 9093, "mutual": 9094, "sasl": 9095, "expired": 9096, "other": 9097}
PASSWORD, WRONG = "heron-plain-4711", "heron-wrong-0815"
CA_CONFIG = """[ca]
default_ca=own
[own]
database={folder}/index.txt
new_certs_dir={folder}
serial={folder}/serial
certificate={folder}/{ca}.pem
private_key={folder}/{ca}.key
default_md=sha256
policy=any
unique_subject=no
copy_extensions=copy
[any]
commonName=supplied
"""
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:19093
listeners=CONTROLLER://127.0.0.1:19093,{listeners}
advertised.listeners={advertised}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,{protocols}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
ssl.keystore.type=PEM
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.mutual.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_app="{password}";
listener.name.sasl.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
offsets.topic.replication.factor=1
connection.failed.authentication.delay.ms=100
"""


# ---- Certificates and the broker -----------------------------------------------------------------

def openssl(folder, *arguments):
    done = subprocess.run(("openssl", *arguments), cwd=folder, capture_output=True, text=True, timeout=60,
                          check=False)
    check(done.returncode == 0, f"openssl {' '.join(arguments)}: {done.stderr[-500:]}")


def make_ca(folder, name):
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out",
            f"{name}.pem", "-days", "30", "-subj", f"/CN={name}")
    (folder / f"{name}.cnf").write_text(CA_CONFIG.format(folder=folder, ca=name))


def certify(folder, name, host, ca="ca", end="20491231235959Z"):
    """Certificate NAME.pem, its key NAME.key, and both in NAME.both as Kafka takes them."""
    openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out",
            f"{name}.csr", "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}")
    openssl(folder, "ca", "-batch", "-config", f"{ca}.cnf", "-notext", "-in", f"{name}.csr", "-out",
            f"{name}.pem", "-startdate", "20200101000000Z", "-enddate", end)
    (folder / f"{name}.both").write_text((folder / f"{name}.key").read_text() +
                                         (folder / f"{name}.pem").read_text())


def make_certificates(folder):
    (folder / "index.txt").touch()
    (folder / "serial").write_text("1000\n")
    make_ca(folder, "ca")
    make_ca(folder, "strange")  # nobody's
    for name in ("tls", "mutual", "sasl", "client"):
        certify(folder, name, "localhost")
    certify(folder, "other", "kafka.example")
    certify(folder, "expired", "localhost", end="20210101000000Z")
    certify(folder, "stranger", "localhost", ca="strange")


def start_broker(folder, libraries):
    protocols = {"plaintext": "PLAINTEXT", "sasl": "SASL_SSL"}
    lists = {what: ",".join(f"{name.upper()}{between}{value(name, port)}" for name, port in PORTS.items())
             for what, between, value in (
                 ("listeners", "://127.0.0.1:", lambda name, port: port),
                 ("advertised", "://localhost:", lambda name, port: port),
                 ("protocols", ":", lambda name, port: protocols.get(name, "SSL")))}
    text = PROPERTIES.format(**lists, folder=folder, password=PASSWORD)
    for name in PORTS:
        if name != "plaintext":
            text += f"listener.name.{name}.ssl.keystore.location={folder}/{name}.both\n"
    scram = [f"SCRAM-SHA-{bits}=[name=app,password={PASSWORD}]" for bits in (256, 512)]
    return kafka_broker.start_broker(folder, libraries, text, scram)


# ---- The agent -----------------------------------------------------------------------------------

def properties(folder, port, **more):
    """What librdkafka takes for one listener."""
    given = {"security.protocol": "sasl_ssl" if port == "sasl" else "ssl", "broker.address.family": "v4",
             "ssl.ca.location": folder / "ca.pem"}
    if port == "mutual":
        given.update({"ssl.certificate.location": folder / "client.pem",
                      "ssl.key.location": folder / "client.key"})
    if port == "sasl":
        given.update({"sasl.username": "app", "sasl.password": PASSWORD, "sasl.mechanism": "PLAIN"})
    given.update({key.replace("__", "."): value for key, value in more.items()})
    return {key: value for key, value in given.items() if value is not None}


def sink(folder, name, given, port, timeout="30s"):
    text = ", ".join(f'{key}: "{value}"' for key, value in given.items())
    return (f'{{name: {name}, topic: {name}, brokers: "localhost:{PORTS[port]}", timeout: {timeout}, '
            f"backoff: {{min: 50ms, max: 200ms}}, properties: {{{text}}}, "
            f"queue: {{directory: {folder}/queue}}}}")


def configure(folder, capture, sinks, server="{enabled: false}"):
    config = folder / "agent.yaml"
    config.write_text(f"capture: {{ports: [{{file: {capture}}}]}}\nserver: {server}\n"
                      "collectors: {metrics: false}\nexporters:\n"
                      f"  roundtrips: [{{filename: {folder}/records}}]\n  kafka:\n" +
                      "".join(f"  - {one}\n" for one in sinks))
    return config


def in_namespace(*command, library=None):
    environment = dict(os.environ)
    if library is not None:
        environment["LD_LIBRARY_PATH"] = str(library)
    return {"args": ("ip", "netns", "exec", NAMESPACE, *map(str, command)), "env": environment}


def run_agent(tapline, config, library):
    done = subprocess.run(**in_namespace(tapline, "agent", "--config", config, library=library),
                          capture_output=True, text=True, timeout=180, check=False)
    check(done.returncode == 0, f"the agent: {done.stderr[-1500:]}")
    return done.stderr


def deliver(tapline, folder, sinks, capture=CAPTURE, library=None):
    """The whole capture once, then nothing until all queues are empty; what all of it logged."""
    empty = folder / "empty.pcap"
    empty.write_bytes(CAPTURE.read_bytes()[:24])
    runs = [run_agent(tapline, configure(folder, capture or empty, sinks), library)]
    while "stay in the queue" in runs[-1]:
        check(len(runs) < 40, f"the queues do not get empty: {runs[-1][-2000:]}")
        runs.append(run_agent(tapline, configure(folder, empty, sinks), library))
    return "".join(runs)


def stored(topic):
    done = subprocess.run(**in_namespace("kcat", "-C", "-q", "-e", "-b", PLAIN, "-t", topic, "-o",
                                         "beginning"), capture_output=True, text=True, timeout=120,
                          check=False)
    check(done.returncode == 0, f"kcat: {done.stderr[-500:]}")
    return done.stdout.splitlines()


def check_records(folder, topics, logged):
    """Each record that the file got is in each topic; once, where no end came in between."""
    expected = (folder / "records").read_text().splitlines()
    check(expected and "lost" not in logged, f"{len(expected)} records; {logged[-1500:]}")
    for topic in topics:
        found = stored(topic)
        check(sorted(set(found)) == sorted(expected),
              f"{topic}: {len(set(found))} of {len(expected)} records; {logged[-1500:]}")
        check(len(found) == len(expected) or "stay in the queue" in logged,
              f"{topic}: {len(found)} messages of {len(expected)} records; {logged[-1500:]}")
    print(f"{len(expected)} records over each of {', '.join(topics)}")


def version_of(library):
    code = ("import ctypes; l = ctypes.CDLL('librdkafka.so.1'); print(hex(l.rd_kafka_version()))")
    done = subprocess.run(**in_namespace("/usr/bin/python3", "-c", code, library=library),
                          capture_output=True, text=True, timeout=60, check=False)
    check(done.returncode == 0, f"librdkafka: {done.stderr[-500:]}")
    return int(done.stdout, 16)


def newer_library(folder):
    """A folder with a librdkafka that knows SCRAM as Kafka 4 wants it; None: PyPI gives none."""
    pip = ("/usr/bin/python3", "-m", "pip", "install", "-q", "--no-deps", "--retries", "1",
           "--disable-pip-version-check", "--target", folder / "python", LIBRARY)
    try:
        why = subprocess.run(pip, capture_output=True, text=True, timeout=180, check=False).stderr
    except subprocess.TimeoutExpired:
        why = "no answer within 180 s"
    found = sorted((folder / "python").glob("confluent_kafka.libs/librdkafka*.so*"))
    if not found:
        print(f"no {LIBRARY} from PyPI: {why.strip()[-300:]}")
        return None
    libraries = folder / "library"
    libraries.mkdir()
    for path in found[0].parent.iterdir():
        (libraries / path.name).symlink_to(path)
    (libraries / "librdkafka.so.1").symlink_to(found[0])
    return libraries


# ---- What is wrong -------------------------------------------------------------------------------

def wrong_sinks(folder, knows_scram):
    """Name of a sink: its entry, and what the user has to be told."""
    rows = {
        "wrong-ca": (("tls", {"ssl__ca__location": folder / "strange.pem"}),
                     r"localhost:9093/bootstrap: the broker's certificate does not lead to a CA of "
                     r"ssl\.ca\.location"),
        "wrong-host": (("other", {}), r"localhost:9097/bootstrap: the broker's certificate is for another "
                       r"name or address"),
        "expired": (("expired", {}), r"localhost:9096/bootstrap: the broker's certificate has expired"),
        "wrong-password": (("sasl", {"sasl__password": WRONG}), r"[Aa]uthentication failed"),
        "no-certificate": (("mutual", {"ssl__certificate__location": None, "ssl__key__location": None}),
                           r"localhost:9094/bootstrap: the broker does not take our certificate, or we "
                           r"have none"),
        "strange-certificate": (("mutual", {"ssl__certificate__location": folder / "stranger.pem",
                                            "ssl__key__location": folder / "stranger.key"}),
                                r"localhost:9094/bootstrap: the broker does not take our certificate"),
        "not-tls": (("tls", {"security__protocol": "plaintext"}), r"connecting to a SSL listener"),
        "no-tls": (("plaintext", {}), r"does this listener speak TLS"),
    }
    if not knows_scram:
        rows["scram"] = (("sasl", {"sasl__mechanism": "SCRAM-SHA-256"}),
                         r"SCRAM with Kafka 4 needs librdkafka 2\.6\.1, this one is ")
    return rows


def get(path):
    done = subprocess.run(**in_namespace("curl", "-sf", "-m", "20", f"http://{SERVER}{path}"),
                          capture_output=True, text=True, timeout=60, check=False)
    return done.stdout if done.returncode == 0 else None


def told(folder, rows, status):
    """Names of wrong sinks of which the status does not tell yet what it has to."""
    sinks = [one for one in status["sinks"] if one["name"].startswith("kafka")]
    missing = [name for one, (name, (_, words)) in zip(sinks, rows.items())
               if not (re.search(words, one.get("last_error", "")) and one["queued"] > 0 and
                       one["delivered"] == 0 and one["retries"] >= 2)]
    good = sinks[len(rows)]
    count = len((folder / "records").read_text().splitlines())
    if good["delivered"] != good["accepted"] or good["accepted"] != count or count == 0:
        missing.append("good")
    return missing


def see_live(folder, rows, agent, log):
    """Waits until the status tells each fault and the good sink has all; the page, the metrics."""
    end = time.monotonic() + 240
    missing, status = ["all"], None
    while missing and time.monotonic() < end:
        check(agent.poll() is None, f"the agent ended: {log.read_text()[-1500:]}")
        answer = get("/api/v1/status")
        if answer is not None:
            status = json.loads(answer)
            missing = told(folder, rows, status)
        time.sleep(0.2)
    check(not missing, f"the status does not tell of {missing}: "
          f"{json.dumps((status or {}).get('sinks'), indent=1)} {log.read_text()[-3000:]}")
    return status, get("/metrics")


def check_metrics(rows, text):
    for i, name in enumerate([*rows, "good"]):
        label = f'{{exporter="kafka{f"[{i}]" if i else ""}"}}'
        values = {key: float(re.search(rf"^tapline_exporter_{key}{re.escape(label)} (\S+)$", text, re.M)[1])
                  for key in ("queued", "delivered_total", "retries_total")}
        is_right = values["queued"] == 0 and values["delivered_total"] > 0 if name == "good" else \
            values["queued"] > 0 and values["delivered_total"] == 0 and values["retries_total"] > 0
        check(is_right, f"{name}: {values}")


def check_log(rows, logged):
    """One line for each fault, none of what is right."""
    for name, (_, words) in rows.items():
        lines = [line for line in logged.splitlines() if f"kafka ({name})" in line and
                 "what comes is kept" in line]
        check(len(lines) == 1 and re.search(words, lines[0]), f"{name}: {lines}, not {words}")
        print(f"  {lines[0].split('exporters.', 1)[1]}")
    rest = [line for line in logged.splitlines() if "kafka (good)" in line or "works again" in line or
            "lost" in line]
    check(not rest, f"{rest}")


def check_secrets(tapline, config, *texts):
    shown = subprocess.run((tapline, "config", "--defaults", config), capture_output=True, text=True,
                           check=True).stdout
    check("sasl.username" in shown, "config --defaults shows no properties")
    for text in (shown, *texts):
        check(PASSWORD not in text and WRONG not in text, f"a password is shown: {text}")


def feed(agent, log, pipe):
    """The capture through a pipe that stays open: the agent stays, too. Gives what is to be closed."""
    pen = os.open(pipe, os.O_RDWR)  # waits for nobody

    def write():
        left = CAPTURE.read_bytes()
        while left:
            left = left[os.write(pen, left):]

    thread = threading.Thread(target=write, daemon=True)  # an agent that ended reads no more
    thread.start()
    while thread.is_alive():
        check(agent.poll() is None, f"the agent ended: {log.read_text()[-1500:]}")
        thread.join(0.1)
    return pen


def check_faults(tapline, folder, knows_scram):
    rows = wrong_sinks(folder, knows_scram)
    pipe, log = folder / "pipe", folder / "agent.log"
    os.mkfifo(pipe)
    # A message has a second: what is told must outlive that it found no broker.
    sinks = [sink(folder, name, properties(folder, port, **more), port, timeout="1s")
             for name, ((port, more), _) in rows.items()]
    sinks.append(sink(folder, "good", properties(folder, "tls"), "tls"))
    config = configure(folder, pipe, sinks, f'{{address: "{SERVER}"}}')
    with open(log, "wb") as out:
        agent = subprocess.Popen(**in_namespace(tapline, "agent", "--config", config), stdout=out, stderr=out)
    try:
        pen = feed(agent, log, pipe)
        status, metrics = see_live(folder, rows, agent, log)
        os.close(pen)
        check(agent.wait(60) == 0, f"the agent: {log.read_text()[-1500:]}")
    finally:
        if agent.poll() is None:
            agent.kill()
            agent.wait(20)
    logged = log.read_text()
    check_metrics(rows, metrics)
    check_log(rows, logged)
    check_secrets(tapline, config, logged, json.dumps(status), metrics)
    # What is mended delivers all that waited.
    mended = [sink(folder, name, properties(folder, "tls"), "tls") for name in [*rows, "good"]]
    logged = deliver(tapline, folder, mended, capture=None)
    check_records(folder, [*rows, "good"], logged)


def check_ways(tapline, folder, ways, library=None):
    sinks = [sink(folder, name, properties(folder, port, **more), port)
             for name, (port, more) in ways.items()]
    check_records(folder, list(ways), deliver(tapline, folder, sinks, library=library))


def check_all(tapline, folder):
    ways = {"tls": ("tls", {}), "mutual": ("mutual", {}), "plain": ("sasl", {})}
    scram = {f"scram-{bits}": ("sasl", {"sasl__mechanism": f"SCRAM-SHA-{bits}"}) for bits in (256, 512)}
    knows_scram = version_of(None) >= 0x02060100
    folders = [folder / name for name in ("ways", "faults", "newer")]
    for one in folders:
        one.mkdir()
        for pem in (*folder.glob("*.pem"), *folder.glob("*.key")):
            (one / pem.name).symlink_to(pem)
    check_ways(tapline, folders[0], {**ways, **scram} if knows_scram else ways)
    check_faults(tapline, folders[1], knows_scram)
    library = None if knows_scram else newer_library(folder)
    if library is not None:
        print(f"librdkafka {version_of(library):#x} instead of {version_of(None):#x}:")
        check_ways(tapline, folders[2], {f"{name}-newer": way for name, way in {**ways, **scram}.items()},
                   library)


def main():
    tapline = os.path.realpath(sys.argv[1])
    if os.geteuid() != 0:
        skip("root is needed for a network namespace")
    for program in ("mvn", "java", "kcat", "openssl", "curl"):
        if shutil.which(program) is None:
            skip(f"{program} is not installed")
    if not kafka_broker.has_sink(tapline):
        skip("this tapline was built without librdkafka")
    with tempfile.TemporaryDirectory(prefix="tl-kafka-secure-") as name:
        folder = pathlib.Path(name)
        libraries = kafka_broker.fetch(folder)
        make_certificates(folder)
        subprocess.run(("ip", "netns", "add", NAMESPACE), check=True)
        broker = None
        try:
            subprocess.run(("ip", "-n", NAMESPACE, "link", "set", "lo", "up"), check=True)
            # With loopback addresses alone the resolver takes a host to have no IPv4.
            subprocess.run(("ip", "-n", NAMESPACE, "address", "add", "192.0.2.9/32", "dev", "lo"),
                           check=True)
            broker = start_broker(folder, libraries)
            check_all(tapline, folder)
        finally:
            if broker is not None:
                broker.kill()
                broker.wait(20)
            subprocess.run(("ip", "netns", "del", NAMESPACE), check=False)


if __name__ == "__main__":
    main()
