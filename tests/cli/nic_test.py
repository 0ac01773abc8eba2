#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/nic on a sysfs of our own, in which a thread does what the kernel would. No card of this
machine is touched."""
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest

NIC = sys.argv[1]
CARD, BOND, MELLANOX, DISK = "0000:03:00.0", "0000:04:00.0", "0000:05:00.0", "0000:06:00.0"


class Sysfs:
    """Cards with their drivers. Pipes stand for the files to which a write has an effect."""

    def __init__(self, folder):
        self.root = pathlib.Path(folder) / "sys"
        self.home = {CARD: "igb", BOND: "ixgbe", MELLANOX: "mlx5_core", DISK: "nvme"}
        self.names = {CARD: "eth1", BOND: "eth2", MELLANOX: "eth3"}
        self.steps = []
        self.refused = False
        for driver in {*self.home.values(), "vfio-pci"}:
            (self.root / "bus/pci/drivers" / driver).mkdir(parents=True)
            self.pipe(self.root / "bus/pci/drivers" / driver / "unbind", self.unbind)
        self.pipe(self.root / "bus/pci/drivers_probe", self.probe)
        for pci in self.home:
            path = self.device(pci)
            path.mkdir(parents=True)
            for name, value in (("class", "0x010802" if pci == DISK else "0x020000"), ("vendor", "0x8086"),
                                ("device", "0x1521"), ("numa_node", "0"), ("driver_override", "")):
                (path / name).write_text(value + "\n")
            (path / "iommu_group").mkdir()
            self.probe(pci)
        (self.root / "class/net/bond0/lower_eth2").mkdir(parents=True)
        pages = self.root / "kernel/mm/hugepages/hugepages-2048kB"
        pages.mkdir(parents=True)
        for name in ("nr_hugepages", "free_hugepages"):
            (pages / name).write_text("4\n")

    def device(self, pci):
        return self.root / "bus/pci/devices" / pci

    def pipe(self, path, effect):
        os.mkfifo(path)

        def kernel():
            while True:
                words = path.read_text().split()
                self.steps += [(path.parent.name, path.name, word) for word in words]
                for word in words:
                    effect(word)
        threading.Thread(target=kernel, daemon=True).start()

    def unbind(self, pci):
        (self.device(pci) / "driver").unlink()
        net = self.device(pci) / "net"
        if net.exists():
            (net / self.names[pci]).rmdir()
            net.rmdir()

    def probe(self, pci):
        while os.path.islink(self.device(pci) / "driver"):
            threading.Event().wait(0.005)  # each pipe has a thread: what was written first comes first
        override = (self.device(pci) / "driver_override").read_text().strip()
        if override == "vfio-pci" and self.refused:
            return
        driver = override or self.home[pci]
        if driver != "vfio-pci" and pci in self.names:
            (self.device(pci) / "net" / self.names[pci]).mkdir(parents=True)
        (self.device(pci) / "driver").symlink_to(self.root / "bus/pci/drivers" / driver)


class Nic(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.sys = Sysfs(self.folder.name)
        self.routes = pathlib.Path(self.folder.name) / "routes"
        self.routes.write_text("default via 10.0.0.1 dev bond0 proto dhcp\n")

    def nic(self, *words, status=0):
        done = subprocess.run([NIC, *words], capture_output=True, text=True, timeout=20, env={
            "PATH": os.environ["PATH"], "TL_NIC_SYS": str(self.sys.root), "TL_NIC_ROUTES": str(self.routes)})
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout + done.stderr

    def driver(self, pci, want):
        """The kernel's part runs in a thread of its own: wait for it."""
        for _ in range(1000):
            link = self.sys.device(pci) / "driver"
            if os.path.islink(link) and os.path.basename(os.readlink(link)) == want:
                return
            threading.Event().wait(0.01)
        self.fail(f"{pci} is not bound to {want}")

    def test_status(self):
        out = self.nic()
        self.assertRegex(out, rf"{CARD} +8086:1521 +igb +eth1 ")
        self.assertRegex(out, rf"{BOND} .*default route")
        self.assertNotIn(DISK, out)
        self.assertIn("huge pages of 2 MiB: 4", out)

    def test_the_card_below_the_default_route_is_refused(self):
        self.assertIn("default route", self.nic("bind", BOND, status=1))
        self.routes.write_text("default dev eth1\n")
        self.assertIn("default route", self.nic("bind", CARD, status=1))
        # A VLAN on a bridge on a bond.
        for upper, lower in (("br0.7", "br0"), ("br0", "bond0")):
            (self.sys.root / f"class/net/{upper}/lower_{lower}").mkdir(parents=True)
        self.routes.write_text("default via 10.0.0.1 dev br0.7\n")
        self.assertIn("default route", self.nic("bind", BOND, status=1))
        self.driver(CARD, "igb")
        self.driver(BOND, "ixgbe")

    def test_a_card_whose_interface_is_elsewhere_is_refused(self):
        # In another network namespace sysfs does not show it, nor do routes tell of it.
        net = self.sys.device(CARD) / "net"
        (net / "eth1").rmdir()
        net.rmdir()
        self.assertIn("its interface is not seen here", self.nic("bind", CARD, status=1))
        self.driver(CARD, "igb")

    def test_bind_and_its_undo(self):
        out = self.nic("bind", CARD.upper()[5:])
        self.assertIn("igb -> vfio-pci", out)
        self.driver(CARD, "vfio-pci")
        self.assertCountEqual(self.sys.steps, [("igb", "unbind", CARD), ("pci", "drivers_probe", CARD)])
        self.assertIn("bound to vfio-pci already", self.nic("bind", CARD))
        self.assertRegex(self.nic(), rf"{CARD} .*vfio-pci +- ")
        undo = out.split(f"undo: {NIC} ")[1].split()
        self.assertRegex(self.nic(*undo), "vfio-pci -> igb, interface eth1")
        self.assertEqual((self.sys.device(CARD) / "driver_override").read_text().strip(), "")

    def test_a_card_that_vfio_refuses_goes_back(self):
        self.sys.refused = True
        self.assertIn("did not take", self.nic("bind", CARD, status=1))
        self.driver(CARD, "igb")

    def test_refusals(self):
        self.assertIn("no PCI address", self.nic("bind", "eth1", status=1))
        self.assertIn("no PCI device", self.nic("bind", "0000:07:00.0", status=1))
        self.assertIn("no network card", self.nic("bind", DISK, status=1))
        self.assertIn("needs no binding", self.nic("bind", MELLANOX, status=1))
        self.assertIn("not to vfio-pci", self.nic("unbind", CARD, status=1))
        (self.sys.device(CARD) / "iommu_group").rmdir()
        self.assertIn("--no-iommu", self.nic("bind", CARD, status=1))
        self.nic("nonsense", status=2)
        self.assertEqual(self.sys.steps, [])

    def test_huge_pages(self):
        out = self.nic("hugepages", "12")
        self.assertIn("4 before, 12 now (24 MiB)", out)
        self.assertIn(f"undo: {NIC} hugepages 4", out)
        self.assertIn("takes a number", self.nic("hugepages", "many", status=1))


unittest.main(argv=sys.argv[:1])
