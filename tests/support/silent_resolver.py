#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A resolver that never answers; the agent is told to end once it waits for it. Prints the agent's exit
status and the seconds that its end took. Changes mounts and the network: only called by run().

    silent_resolver.py TAPLINE agent --config FILE
"""
import pathlib
import socket
import subprocess
import sys
import time


def run(tapline, config, folder):
    """(exit status, seconds to the end), None where there are no namespaces to be had."""
    if subprocess.run(["unshare", "-mn", "true"], capture_output=True).returncode != 0:
        return None
    resolver = pathlib.Path(folder) / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:1\n")
    # With loopback addresses alone some programs don't ask for IPv4.
    script = "ip link set lo up; ip address add 192.0.2.9/32 dev lo; " \
        f"mount --bind {resolver} /etc/resolv.conf; exec \"$@\""
    done = subprocess.run(["unshare", "-mn", "sh", "-ec", script, "sh", sys.executable, __file__, tapline,
                           "agent", "--config", config], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr)
    status, seconds = done.stdout.split()
    return int(status), float(seconds)


def main():
    resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    resolver.bind(("127.0.0.1", 53))
    resolver.settimeout(60)
    agent = subprocess.Popen(sys.argv[1:], stderr=subprocess.PIPE, text=True)
    while "HTTP on" not in agent.stderr.readline() and agent.poll() is None:
        pass
    resolver.recv(512)
    began = time.monotonic()
    agent.terminate()
    print(agent.wait(60), time.monotonic() - began)


if __name__ == "__main__":
    main()
