#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What scripts/package makes, on a Debian that has nothing installed (made by debootstrap): the
tarball and the Debian package are installed, run, reloaded, upgraded and removed, and leave nothing
behind; the image runs as a container.

    packages.py [--debian FOLDER] [--packages FOLDER] [KIND...]
        needs root, some minutes and Debian's archive. With FOLDER it takes the Debian (it is
        changed) or the packages that lie there instead of making them. KIND is tarball, deb,
        unit (after deb) or image; without one, all.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

KINDS = ("tarball", "deb", "unit", "image")
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
until_true() { for i in $(seq 1200); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done; echo "never: $*"; cat /tmp/agent.log; exit 1; }
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


def fail(text):
    sys.exit(f"FAILED: {text}")


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if done.returncode == SKIPPED:
        print(f"skipped: {done.stdout.strip()[-300:]}")
        sys.exit(SKIPPED)
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


def older(package, folder):
    """The same package as an earlier version with another default configuration."""
    shutil.rmtree(folder, ignore_errors=True)
    run("dpkg-deb", "-R", package, folder)
    control = folder / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text("".join("Version: 0.0.1\n" if line.startswith("Version:") else line + "\n"
                               for line in lines))
    with open(folder / "etc/tapline/tapline.yaml", "a", encoding="utf-8") as config:
        config.write("# of the version before\n")
    run("dpkg-deb", "--root-owner-group", "-b", folder, f"{folder}.deb")
    return f"{folder}.deb"


def deb(tree, package):
    shutil.copy(package, tree / "srv/tapline.deb")
    shutil.copy(older(package, package.parent / "older"), tree / "srv/older.deb")
    print(inside(tree, r"""
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
apt() {
	apt-get -qq -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io "$@" >/tmp/apt.log 2>&1 </dev/null ||
		{ tail -n 20 /tmp/apt.log; return 1; }
}
install() {
	apt install --print-uris "$@" # that it can be installed
	apt install --download-only "$@" || exit 77
	apt install "$@"
}
apt -o APT::Update::Error-Mode=any update || exit 77
# With nothing but what it depends on it runs; what the checks below need comes after that.
install /srv/tapline.deb
tapline version >/tmp/version
! ldd /usr/bin/tapline | grep 'not found'
echo "depends on $(dpkg-query -W -f '${Depends}' tapline | sed 's/ ([^)]*)//g')"
apt-get remove -qq -y --purge tapline >/dev/null 2>&1
install systemd procps man-db
""", "host"), end="")
    before = files_of(tree)
    print(inside(tree, r"""
# From an older version: what nobody changed is replaced, what was edited stays.
quietly() { "$@" >/tmp/dpkg.log 2>&1 </dev/null || { cat /tmp/dpkg.log; exit 1; }; }
quietly dpkg -i /srv/older.deb
grep -q 'of the version before' /etc/tapline/tapline.yaml
quietly dpkg -i /srv/tapline.deb
! grep -q 'of the version before' /etc/tapline/tapline.yaml
quietly dpkg -P tapline
quietly dpkg -i /srv/older.deb
echo '# edited' >>/etc/tapline/tapline.yaml
quietly dpkg --force-confdef -i /srv/tapline.deb
grep -q '# edited' /etc/tapline/tapline.yaml
[ -e /etc/tapline/tapline.yaml.dpkg-dist ]
quietly dpkg -P tapline
[ ! -e /etc/tapline ]
quietly dpkg -i /srv/tapline.deb
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
quietly dpkg -i /srv/tapline.deb
cmp /etc/tapline/tapline.yaml /tmp/edited
quietly dpkg -r tapline
[ -e /etc/tapline/tapline.yaml ] && [ ! -e /usr/bin/tapline ]
quietly dpkg -P tapline
[ ! -e /etc/tapline ]
"""), end="")
    left = files_of(tree) - before
    if left:
        sys.exit(f"FAILED: the package leaves {sorted(left)[:10]}")
    print("deb: installed, upgraded, ran, reloaded, kept the edited configuration, purged without a trace")


# ---- The unit --------------------------------------------------------------------------------------

# Debian's systemd as the first process of namespaces of its own; its cgroup has the name $2.
BOOT = r"""
set -e
ip link set lo up
mount --bind "$1" "$1"; cd "$1"
mount -t proc proc proc
mount -t sysfs sys sys
for part in proc/sys sys; do mount --bind $part $part; mount -o remount,ro,bind $part; done
mount -t cgroup2 none mnt; mkdir "mnt/$2"; echo 0 >"mnt/$2/cgroup.procs"; umount mnt
exec unshare --cgroup bash -ec '
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
ln -s /proc/self/fd dev/fd
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 run run
mkdir -p mnt/old; pivot_root . mnt/old; cd /; umount -l /mnt/old; rmdir /mnt/old
exec env -i container=tapline-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=tapline-test.service'
"""
TEST_UNIT = """[Service]
Type=oneshot
ExecStart=/bin/bash -eu /srv/unit.sh
StandardOutput=file:/srv/unit.out
StandardError=inherit
TimeoutStartSec=600
ExecStopPost=/bin/sh -c 'systemctl exit $EXIT_STATUS'
"""
UNIT_SCRIPT = AGENT.replace("cat /tmp/agent.log", "true") + r"""
trap '[ $? -eq 0 ] || journalctl --no-pager -n 60' EXIT
printf 'capture:\n  filter: ""\n  ports: [{interface: lo}]\n' >/etc/tapline/tapline.yaml
systemctl start tapline
until_true says /readyz '200 OK'
until_true says /protocol/metrics '^http_requests_total'
pid=$(systemctl show -P MainPID tapline)
grep -q '^CapEff:.*0000000000002000$' /proc/$pid/status
! grep -q '^Uid:.\b0\b' /proc/$pid/status
sed -i 's/filter: ""/filter: "not port 1"/' /etc/tapline/tapline.yaml
systemctl reload tapline
reloaded() { journalctl -u tapline --no-pager | grep -q 'not port 1'; }
until_true reloaded
says /readyz '200 OK'
systemctl kill -s KILL tapline
again() { [ "$(systemctl show -P NRestarts tapline)" = 1 ] && says /readyz '200 OK'; }
until_true again
! journalctl -u tapline --no-pager | grep 'update: No such file' # a collector that the unit keeps out
systemctl stop tapline
[ "$(systemctl show -P Result tapline) $(systemctl show -P ExecMainStatus tapline)" = "success 0" ]
echo 'nonsense: 1' >/etc/tapline/tapline.yaml
systemctl start tapline || true
# Not "activating": that would be tried again.
failed() { [ "$(systemctl show -P ActiveState tapline) $(systemctl show -P ExecMainStatus tapline)" = "failed 2" ]; }
until_true failed
journalctl -u tapline --no-pager | grep -q 'nonsense: unknown key'
"""


def unit(tree, package):
    shutil.copy(package, tree / "srv/tapline.deb")
    inside(tree, "dpkg -i /srv/tapline.deb >/dev/null 2>&1")
    (tree / "srv/unit.sh").write_text(UNIT_SCRIPT)
    (tree / "etc/systemd/system/tapline-test.service").write_text(TEST_UNIT)
    group = f"tl-packages-{os.getpid()}"
    try:
        done = subprocess.run(["unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork",
                               "--kill-child", "--ipc", "--uts", "bash", "-c", BOOT, "boot", tree, group],
                              capture_output=True, text=True, timeout=700, stdin=subprocess.DEVNULL)
    finally:
        subprocess.run(["unshare", "--mount", "bash", "-c", "mount -t cgroup2 none /mnt && "
                        f"find /mnt/{group} -depth -type d -exec rmdir {{}} +"], check=False)
    out = tree / "srv/unit.out"
    if done.returncode != 0:
        fail(f"the unit: exit {done.returncode}: {done.stdout[-1000:]}{done.stderr[-1000:]}"
             f"{out.read_text()[-3000:] if out.exists() else ''}")
    inside(tree, r"""
[ -e /var/log/private/tapline ] && [ -e /var/lib/private/tapline ]
dpkg -P tapline >/dev/null 2>&1
for left in /var/log/tapline /var/log/private/tapline /var/lib/tapline /var/lib/private/tapline /etc/tapline; do
	[ ! -e $left ] || { echo "$left is left"; exit 1; }
done
""")
    print("unit: systemd started it as a user of its own with one capability, reloaded it, began it anew "
          "after a kill, stopped it, refused a wrong configuration; purged with its logs and queues")


# ---- The image -------------------------------------------------------------------------------------

class Podman:
    """Containers and images in a folder of their own, without a network, without cgroups."""

    def __init__(self, folder):
        conf = folder / "containers.conf"
        # Limits as podman has them by itself need CAP_SYS_RESOURCE.
        conf.write_text('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
                        '[engine]\nlock_type = "file"\nevents_logger = "none"\n')
        self.environment = {**os.environ, "CONTAINERS_CONF": str(conf)}
        self.base = ["podman", "--root", folder / "storage", "--runroot", folder / "run", "--tmpdir",
                     folder / "tmp", "--storage-driver", "vfs", "--runtime", "crun"]

    def may(self, *command):
        return subprocess.run([str(c) for c in (*self.base, *command)], capture_output=True, text=True,
                              env=self.environment, stdin=subprocess.DEVNULL, timeout=300)

    def must(self, *command):
        return run(*self.base, *command, env=self.environment, stdin=subprocess.DEVNULL, timeout=300)

    def start(self, options, *command):
        """A container in the background, with one network interface: lo."""
        return ["run", "--cgroups=disabled", "--network", "none", "--pull", "never", *options, IMAGE,
                *command]


IMAGE = "localhost/tapline:test"
NO_RIGHT = ("--cap-drop", "ALL")
# How it is run: by default nobody, whose program may read packets; as the chart runs it.
LIVE = {
    "nobody": (*NO_RIGHT, "--cap-add", "NET_RAW"),
    "the chart's root": (*NO_RIGHT, "--cap-add", "NET_RAW", "--cap-add", "NET_ADMIN", "--user", "0",
                         "--security-opt", "no-new-privileges"),
}
CONFIG = """capture:
  filter: ""
  ports: [{interface: lo}]
exporters:
  roundtrips:
  - {enabled: true, filename: /var/log/tapline/roundtrips.log}
"""


def image_live(podman, how, options, folder):
    logs = folder / "log"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir()
    logs.chmod(0o777)  # as an emptyDir of Kubernetes
    podman.must(*podman.start(
        ["-d", "--name", "probe", "--read-only", *options, "-v", f"{folder}/tapline.yaml:/etc/tapline/tapline.yaml:ro",
         "-v", f"{logs}:/var/log/tapline"]))
    records, health, end = logs / "roundtrips.log", None, time.monotonic() + 300
    while True:
        health = podman.may("exec", "probe", "/usr/bin/tapline", "health")
        text = records.read_text() if records.exists() else ""
        if health.returncode == 0 and '"/readyz"' in text:
            break
        if time.monotonic() > end or "state improper" in health.stderr:
            fail(f"{how}: health: exit {health.returncode}: {health.stderr}; records: {text[-500:]}; "
                 f"the agent: {podman.may('logs', 'probe').stderr[-2000:]}")
        time.sleep(0.2)
    podman.must("kill", "--signal", "TERM", "probe")
    status = podman.must("wait", "probe").strip()
    if status != "0":
        fail(f"{how}: exit {status}: {podman.may('logs', 'probe').stderr[-2000:]}")
    record = next(json.loads(line) for line in records.read_text().splitlines() if '"/readyz"' in line)
    podman.must("rm", "probe")
    return record["status"]


def image(folder, package, program):
    """`program` reads the same capture outside."""
    podman = Podman(folder)
    name = podman.must("load", "-q", "-i", package).strip().rpartition(" ")[2]
    podman.must("tag", name, IMAGE)
    about, = json.loads(podman.must("inspect", IMAGE))
    config, labels = about["Config"], about["Config"]["Labels"]
    wanted = {"Entrypoint": ["/usr/bin/tapline"], "User": "65534:65534", "StopSignal": "SIGTERM",
              "Cmd": ["agent", "--config", "/etc/tapline/tapline.yaml"]}
    for key, value in wanted.items():
        if config.get(key) != value:
            fail(f"the image's {key} is {config.get(key)}")
    for label in ("title", "version", "revision", "created", "licenses"):
        if not labels.get(f"org.opencontainers.image.{label}"):
            fail(f"the image lacks the label {label}: {labels}")
    captures = ["-v", f"{ROOT}/tests/captures:/srv:ro"]
    read = ("stats", "--pcap-file", "/srv/quickstart.pcap")
    outside = run(program, *read[:2], ROOT / "tests/captures/quickstart.pcap")
    without = podman.may(*podman.start(["--rm", "--read-only", *NO_RIGHT, *captures], *read))
    if without.returncode != 0 or without.stdout != outside:
        fail(f"a capture file without any right: exit {without.returncode}: {without.stderr}{without.stdout}")
    refused = podman.may(*podman.start(["--rm", *NO_RIGHT], "watch", "--ifaces", "lo"))
    if refused.returncode != 3 or "cap_net_raw" not in refused.stderr:
        fail(f"live without the right to: exit {refused.returncode}: {refused.stderr}")
    (folder / "tapline.yaml").write_text(CONFIG)
    for how, options in LIVE.items():
        image_live(podman, how, options, folder)
    podman.must("rmi", "--all", "--force")
    print(f"image: {package.stat().st_size >> 20} MiB, {about['Size'] >> 20} MiB unpacked; read a file without any right; "
          f"as {' and as '.join(LIVE)}: ready, wrote records of what it saw, ended with 0")


def debootstrap(folder):
    """Begins a Debian that has nothing installed."""
    return subprocess.Popen(["debootstrap", "--variant=minbase", "bookworm", folder / "debian", MIRROR],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def check(options, folder):
    kinds = options.kinds or KINDS
    bootstrap = None
    if options.debian is None and set(kinds) - {"image"}:
        bootstrap = debootstrap(folder)
    try:
        made = options.packages
        if made is None:
            made = folder / "packages"
            print(run(ROOT / "scripts/package", "deb", "tarball", *(["image"] if "image" in kinds else []),
                      "--out", made), end="")
    finally:
        printed = bootstrap.communicate()[0] if bootstrap else ""
    if bootstrap and bootstrap.returncode != 0:
        print(f"skipped: debootstrap: {printed.strip()[-300:]}")
        return SKIPPED
    tree = options.debian or folder / "debian"
    if set(kinds) - {"image"}:
        shutil.copy(ROOT / "tests/captures/quickstart.pcap", tree / "srv")
        shutil.copy("/etc/resolv.conf", tree / "etc/resolv.conf")
    archive = next(made.glob("*.tar.gz"))
    if "tarball" in kinds:
        tarball(tree, archive)
    if "deb" in kinds:
        deb(tree, next(made.glob("*.deb")))
    if "unit" in kinds:
        unit(tree, next(made.glob("*.deb")))
    if "image" in kinds:
        run("tar", "-C", folder, "-xzf", archive)
        image(folder, next(made.glob("*.oci.tar")), next(folder.glob("tapline-*/tapline")))
    return 0


def enter_namespace():
    """Runs this again where mounts are its own, with cgroups as crun wants them: of version 2 alone."""
    os.environ["TL_PACKAGES_ENTERED"] = "yes"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "bash", "-c",
                          'mount -t cgroup2 none /sys/fs/cgroup && mkdir -p /var/lib/containers && '
                          'mount -t tmpfs none /var/lib/containers && exec "$@"', "enter",
                          sys.executable, "-B", __file__, *sys.argv[1:]])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--debian", type=pathlib.Path)
    parser.add_argument("--packages", type=pathlib.Path)
    parser.add_argument("kinds", nargs="*", metavar="KIND")
    options = parser.parse_args()
    if set(options.kinds) - set(KINDS):
        parser.error(f"KIND is one of {', '.join(KINDS)}")
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        print("skipped: needs root and debootstrap")
        return SKIPPED
    if "TL_PACKAGES_ENTERED" not in os.environ:
        enter_namespace()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tl-packages-"))
    folder.chmod(0o755)
    try:
        return check(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


sys.exit(main())
