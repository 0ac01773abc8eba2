#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What scripts/package makes, on a Debian that has nothing installed (made by debootstrap): the
tarball and the Debian package are installed, run, reloaded and removed, and leave nothing behind.

    packages.py [--debian FOLDER] [--packages FOLDER]
        needs root, some minutes and Debian's archive. With FOLDER it takes the Debian (it is
        changed) or the packages that lie there instead of making them.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77
MIRROR = "http://deb.debian.org/debian"
# A root of its own: mount and network namespaces that end with the command.
ENTER = r"""
set -e
mount --bind "$1" "$1"; cd "$1"
mount -t proc proc proc
mount -t sysfs sys sys
mount -t tmpfs dev dev
for name in null zero full random urandom; do touch dev/$name; mount --bind /dev/$name dev/$name; done
ln -s /proc/self/fd dev/fd
mkdir -p dev/shm
mount -t tmpfs run run
mkdir -p mnt/old; pivot_root . mnt/old; cd /; umount -l /mnt/old; rmdir /mnt/old
[ "$3" = host ] || for name in lo; do echo 1 >/proc/sys/net/ipv6/conf/$name/disable_ipv6; done
exec env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	DEBIAN_FRONTEND=noninteractive bash -euc "$2"
"""
# Shell functions for the agent inside: lo is up in the namespace, get asks over it.
AGENT = r"""
get() {
	exec 3<>/dev/tcp/127.0.0.1/9091 || return 1
	printf 'GET %s HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n' "$1" >&3
	cat <&3; exec 3>&-
}
until_true() { for i in $(seq 300); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done; echo "never: $*"; cat /tmp/agent.log; exit 1; }
says() { get "$1" | grep -q "$2"; }
"""
RUN_AGENT = AGENT + r"""
until_true says /readyz '200 OK'
until_true says /protocol/metrics '^http_requests_total{.*path\|^http_requests_total'
sed -i 's/^  filter: .*/  filter: "not port 1"/' /etc/tapline/tapline.yaml
grep -q 'not port 1' /etc/tapline/tapline.yaml
kill -HUP $agent
until_true grep -qi 'reload' /tmp/agent.log
says /readyz '200 OK'
kill -TERM $agent
wait $agent
echo "agent: ready, counted its own requests, reloaded, ended with 0"
"""


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"FAILED: {' '.join(map(str, command))[:200]}: exit {done.returncode}\n"
                 f"{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def inside(tree, script, network="own"):
    """Runs a shell script in the Debian of that folder. network: own (lo only) or host."""
    namespaces = ["--mount", "--propagation", "private"] + (["--net"] if network == "own" else [])
    up = "ip link set lo up; " if network == "own" else ""
    return run("unshare", *namespaces, "bash", "-c", up + ENTER, "enter", tree, script, network)


def files_of(tree):
    skip = ("proc", "sys", "dev", "run", "tmp", "var/log", "var/cache", "var/lib/apt", "var/lib/dpkg",
            "var/lib/systemd")
    found = set()
    for folder, names, files in os.walk(tree):
        at = os.path.relpath(folder, tree)
        names[:] = [n for n in names if os.path.normpath(os.path.join(at, n)) not in skip]
        found.update(os.path.normpath(os.path.join(at, f)) for f in files)
    return found


def tarball(tree, package):
    before = files_of(tree)
    shutil.copy(package, tree / "srv")
    print(inside(tree, r"""
cd /srv && tar -xzf tapline-*.tar.gz && rm tapline-*.tar.gz && cd tapline-*
./install
cd / && rm -r /srv/tapline-*
tapline version | head -n 4
tapline stats --pcap-file /srv/quickstart.pcap | head -n 3
! tapline stats --pcap-file /nowhere 2>/tmp/error
grep -q nowhere /tmp/error
grep -q '^ExecStart=/opt/tapline/tapline agent' /etc/systemd/system/tapline.service
printf 'capture:\n  filter: ""\n  ports: [{interface: lo}]\n' >/etc/tapline/tapline.yaml
tapline agent --config /etc/tapline/tapline.yaml >/tmp/agent.log 2>&1 & agent=$!
""" + RUN_AGENT + r"""
/opt/tapline/install --remove
rm -r /etc/tapline
"""), end="")
    left = files_of(tree) - before
    if left:
        sys.exit(f"FAILED: the tarball leaves {sorted(left)[:10]}")
    print("tarball: installed, ran, removed without a trace")


def deb(tree, package):
    shutil.copy(package, tree / "srv/tapline.deb")
    print(inside(tree, r"""
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
apt-get update -qq
# What it depends on, and what the checks need, come first: removing the package leaves those.
apt-get install -qq -y --no-install-recommends systemd procps man-db >/dev/null 2>&1
apt-get install -qq -y --no-install-recommends /srv/tapline.deb >/dev/null 2>&1
apt-get remove -qq -y --purge tapline >/dev/null 2>&1
""", "host"), end="")
    before = files_of(tree)
    print(inside(tree, r"""
dpkg -i /srv/tapline.deb >/dev/null
dpkg -s tapline | grep -E '^(Status|Version|Installed-Size)'
for file in /usr/bin/tapline /lib/systemd/system/tapline.service /etc/tapline/tapline.yaml \
	/usr/share/man/man1/tapline.1.gz /usr/share/bash-completion/completions/tapline \
	/usr/share/tapline/prometheus/tapline-alerts.yml; do
	dpkg -L tapline | grep -qx "$file" || { echo "the package lacks $file"; exit 1; }
done
systemd-analyze verify /lib/systemd/system/tapline.service
dpkg-query -W -f '${Conffiles}\n' tapline | grep -q /etc/tapline/tapline.yaml
tapline stats --pcap-file /srv/quickstart.pcap | head -n 3
# As the unit runs it: nobody, with one capability.
printf 'capture:\n  filter: ""\n  ports: [{interface: lo}]\n' >/etc/tapline/tapline.yaml
command=$(sed -n 's/^ExecStart=//p' /lib/systemd/system/tapline.service)
setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all,+net_raw \
	--inh-caps -all,+net_raw --ambient-caps -all,+net_raw --no-new-privs \
	$command >/tmp/agent.log 2>&1 & agent=$!
""" + RUN_AGENT + r"""
cp /etc/tapline/tapline.yaml /tmp/edited
dpkg -i /srv/tapline.deb >/dev/null 2>&1 </dev/null
cmp /etc/tapline/tapline.yaml /tmp/edited
dpkg -r tapline >/dev/null 2>&1
[ -e /etc/tapline/tapline.yaml ] && [ ! -e /usr/bin/tapline ]
dpkg -P tapline >/dev/null 2>&1
[ ! -e /etc/tapline ]
"""), end="")
    left = files_of(tree) - before
    if left:
        sys.exit(f"FAILED: the package leaves {sorted(left)[:10]}")
    print("deb: installed, ran, reloaded, kept the edited configuration, purged without a trace")


def debian(folder):
    """A Debian that has nothing installed, or None."""
    tree = folder / "debian"
    done = subprocess.run(["debootstrap", "--variant=minbase", "bookworm", tree, MIRROR],
                          capture_output=True, text=True)
    if done.returncode != 0:
        print(f"skipped: debootstrap: {(done.stdout + done.stderr).strip()[-300:]}")
        return None
    return tree


def packages(folder):
    print(run(ROOT / "scripts/package", "deb", "tarball", "--out", folder), end="")
    return folder


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--debian", type=pathlib.Path)
    parser.add_argument("--packages", type=pathlib.Path)
    options = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        print("skipped: needs root and debootstrap")
        return SKIPPED
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tl-packages-"))
    try:
        tree = options.debian or debian(folder)
        if tree is None:
            return SKIPPED
        made = options.packages or packages(folder / "packages")
        shutil.copy(ROOT / "tests/captures/quickstart.pcap", tree / "srv")
        shutil.copy("/etc/resolv.conf", tree / "etc/resolv.conf")
        tarball(tree, next(made.glob("*.tar.gz")))
        deb(tree, next(made.glob("*.deb")))
        return 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


sys.exit(main())
