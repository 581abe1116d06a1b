"""The package in the hands of dpkg, on a machine that is running: it makes its user, starts nothing, is upgraded while
uploads come, and leaves what was uploaded when it goes."""

import os
import pathlib
import shutil
import tempfile
import unittest

import support
from booted import SYSTEMD, Booted
from installed import demand_product, pack
from support import content

URL = "http://127.0.0.1:8080"
DEB = "/run/sluice.deb"
CONFIGURATION = "/etc/sluice/sluice.yaml"


@unittest.skipUnless(os.geteuid() == 0, "takes root, for namespaces")
@unittest.skipUnless(SYSTEMD and all(map(shutil.which, ("unshare", "dpkg-shlibdeps", "file", "adduser"))),
                     "takes systemd, util-linux, dpkg-dev, file and adduser")
class Life(unittest.TestCase):
    """One machine; the steps of the one test follow each other."""

    def setUp(self):
        demand_product()
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-dpkg-")))
        (folder / "packed").mkdir()
        policy = folder / "tree/usr/sbin/policy-rc.d"  # images of containers often forbid what is tried here
        policy.parent.mkdir(parents=True)
        policy.write_text("#!/bin/sh\nexit 0\n")
        policy.chmod(0o755)
        (folder / "tree/run").mkdir()
        shutil.copy(pack(folder / "packed"), folder / "tree" / DEB.lstrip("/"))
        self.blob = folder / "blob"
        self.blob.write_bytes(content(1_000_000))
        try:
            # Else man-db would go through all pages of this machine each time.
            self.machine = self.enterContext(Booted(folder / "tree", "rm -f var/lib/man-db/auto-update"))
        except Booted.Refused as refused:
            self.skipTest(f"no systemd in a namespace here: {refused}")

    def dpkg(self, *words):
        done = self.machine.run("dpkg", *words)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotRegex(done.stderr, "sluice|warning")

    def put(self, name):
        told, complaint = self.machine.curl("-T", self.blob, f"{URL}/{name}").communicate(timeout=60)
        self.assertEqual((told, complaint), ("201", ""))

    def stored(self):
        return self.machine.run("ls", "/var/lib/sluice/files").stdout.split()

    def user(self):
        return self.machine.run("getent", "passwd", "sluice").stdout

    def state(self):
        return self.machine.systemctl("is-active", "sluice.service").stdout.strip()

    def test_from_its_coming_to_its_end(self):
        self.dpkg("-i", DEB)
        user = self.user()
        self.assertRegex(user, r"\Asluice:x:\d+:\d+:.*:/var/lib/sluice:/usr/sbin/nologin\n\Z")
        self.assertEqual(self.state(), "inactive", "nothing starts by itself")

        self.machine.well("start", "sluice.socket", "sluice.service")
        self.put("before")
        self.machine.run("sed", "-i", "$ a # mine", CONFIGURATION)
        old = self.machine.shown("MainPID")
        uploads = self.machine.curl_many(30, "-T", self.blob, f"{URL}/during")
        self.dpkg("-i", DEB)
        told, complaint = uploads.communicate(timeout=120)
        self.assertEqual((told.split(), complaint), (["201"] * 30, ""))
        self.assertNotEqual(self.machine.shown("MainPID"), old, "the new one serves")
        self.assertTrue(self.machine.read(CONFIGURATION).endswith("\n# mine\n"))

        self.dpkg("-r", "sluice")
        self.assertEqual(self.state(), "inactive")
        self.assertTrue(self.machine.read(CONFIGURATION).endswith("\n# mine\n"))
        self.dpkg("-i", DEB)
        self.assertEqual((self.user(), self.state()), (user, "inactive"))
        self.machine.well("start", "sluice")
        self.put("after")

        self.dpkg("-P", "sluice")
        self.assertEqual(self.state(), "inactive")
        self.assertEqual(self.machine.run("ls", "/etc/sluice").returncode, 2)
        self.assertEqual(self.user(), user, "whose files they are")
        self.assertEqual(len(self.stored()), 32)


if __name__ == "__main__":
    unittest.main()
