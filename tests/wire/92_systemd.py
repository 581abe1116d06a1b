"""The units as they are installed, under systemd itself: it waits for the word that it is ready, hands over a socket,
reloads, starts again, stops; and behind all that the unit takes away sluice can do what it can do without."""

import contextlib
import os
import pathlib
import shutil
import tempfile
import unittest

import support
from booted import LOG, SYSTEMD, Booted
from installed import demand_product, install, well
from support import Sluice, content, curl_command, wait_until
from tlspeer import Authority

URL = "http://127.0.0.1:8080"
UNITS = ("sluice.socket", "sluice-tls.socket", "sluice.service")


@unittest.skipUnless(os.geteuid() == 0, "takes root, for namespaces")
@unittest.skipUnless(SYSTEMD and shutil.which("unshare"), "takes systemd and util-linux")
class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        demand_product()
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="sluice-systemd-")))
        tree = cls.folder / "tree"
        install("/usr", tree)
        shutil.move(tree / "lib/systemd/system", tree / "usr/lib/systemd/system")  # /lib may be a link to it
        shutil.rmtree(tree / "lib")
        try:
            cls.machine = cls.enterClassContext(Booted(tree, "systemd-sysusers sluice.conf"))
        except Booted.Refused as refused:
            raise unittest.SkipTest(f"no systemd in a namespace here: {refused}") from None
        cls.blob = cls.folder / "blob"
        cls.blob.write_bytes(content(2_000_000))

    def setUp(self):
        self.addCleanup(self.settle)

    def settle(self):
        self.machine.systemctl("stop", *UNITS)
        self.machine.systemctl("reset-failed", *UNITS)

    def curl(self, *words):
        """The status."""
        process = self.machine.curl(*words)
        told, complaint = process.communicate(timeout=support.ANSWER_SECONDS)
        self.assertEqual((process.returncode, complaint), (0, ""))
        return int(told)

    def slow_upload(self, name, rate):
        """One that is in flight: some of it has come."""
        process = self.machine.curl("--limit-rate", rate, "-T", self.blob, f"{URL}/{name}")

        def has_come():
            metrics = self.machine.popen(*curl_command(), f"{URL}/metrics").communicate()[0]
            return "sluice_uploads_in_flight 1\n" in metrics
        wait_until(has_come, "the upload is in flight")
        return process

    def finish(self, process, name):
        told, complaint = process.communicate(timeout=support.ANSWER_SECONDS)
        self.assertEqual((process.returncode, told, complaint), (0, "201", ""))
        self.assertEqual(self.stored(name).read_bytes(), self.blob.read_bytes())

    def stored(self, name):
        return pathlib.Path(f"/proc/{self.machine.pid}/root/var/lib/sluice/files/{name}")

    def said(self, word):
        """Of the last start block."""
        return [line.split(maxsplit=1)[1] for line in self.machine.read(LOG).splitlines()
                if line.startswith(f"  {word} ")][-1]

    @contextlib.contextmanager
    def configured(self, line):
        path = pathlib.Path(f"/proc/{self.machine.pid}/root/etc/sluice/sluice.yaml")
        good = path.read_text()
        path.write_text(f"{good}{line}\n")
        try:
            yield
        finally:
            path.write_text(good)

    # ---- the service ----

    def test_it_is_active_when_it_serves_and_has_little_but_what_it_needs(self):
        self.machine.well("start", "sluice")  # Type=notify: this is over when it has said that it is ready
        self.assertEqual(self.machine.shown("ActiveState", "SubState", "Type"), ("active", "running", "notify"))
        self.assertEqual(self.curl("-T", self.blob, f"{URL}/a"), 201)
        self.assertEqual(self.stored("a").stat().st_mode & 0o777, 0o640)
        pid = self.machine.run("pidof", "sluice").stdout.strip()
        status = dict(line.split(":\t", 1) for line in self.machine.read(f"/proc/{pid}/status").splitlines()
                      if ":\t" in line)
        self.assertEqual((status["CapEff"], status["CapBnd"], status["NoNewPrivs"], status["Seccomp"]),
                         ("0" * 16, "0" * 16, "1", "2"))
        self.assertEqual({int(uid) for uid in status["Uid"].split()}, {self.stored("a").stat().st_uid})
        self.assertNotEqual(status["Uid"].split()[0], "0")

    def test_it_takes_the_engine_and_confines_itself_as_without_the_unit(self):
        self.machine.well("start", "sluice")
        with Sluice() as server:
            for word in ("engine", "confined"):
                self.assertEqual(self.said(word).split(":")[0].split()[0], server.said(word).split(":")[0].split()[0])

    def test_its_system_calls_are_enough_for_threads_too(self):
        """A ring passes by the filter; what threads do does not."""
        with self.configured("engine: threads"):
            self.machine.well("start", "sluice")
        self.assertTrue(self.said("engine").startswith("threads"))
        self.assertEqual(self.curl("-T", self.blob, f"{URL}/deep/threads"), 201)
        self.assertEqual(self.stored("deep/threads").read_bytes(), self.blob.read_bytes())
        self.assertEqual(self.curl("-F", f"file=@{self.blob}", f"{URL}/"), 201)
        for method, status in (("GET", 200), ("DELETE", 204)):
            self.assertEqual(self.curl("-X", method, f"{URL}/files/deep/threads"), status, method)
        self.assertEqual(self.curl(f"{URL}/files/"), 200)
        created = self.curl("-X", "POST", "-H", "Tus-Resumable: 1.0.0", "-H", "Upload-Length: 9", f"{URL}/files/")
        self.assertEqual(created, 201)

    def test_reload_keeps_the_process_and_what_is_in_flight(self):
        self.machine.well("start", "sluice")
        before = self.machine.shown("MainPID")
        process = self.slow_upload("reload", "1M")
        self.machine.well("reload", "sluice")
        wait_until(lambda: "SIGHUP" in self.machine.read(LOG), "it has reloaded")
        self.finish(process, "reload")
        wait_until(lambda: self.machine.shown("ActiveState") == ("active",), "systemd has heard of it")
        self.assertEqual(self.machine.shown("MainPID"), before)

    def test_a_restart_waits_for_what_is_in_flight(self):
        self.machine.well("start", "sluice")
        before = self.machine.shown("MainPID")
        process = self.slow_upload("restart", "1500k")
        self.machine.well("restart", "sluice")
        self.finish(process, "restart")
        self.assertNotEqual(self.machine.shown("MainPID"), before)

    def test_a_stop_that_cuts_off_is_no_failure(self):
        self.machine.well("set-environment", "SLUICE_SHUTDOWN_TIMEOUT=1")
        self.addCleanup(self.machine.well, "unset-environment", "SLUICE_SHUTDOWN_TIMEOUT")
        self.machine.well("start", "sluice")
        process = self.slow_upload("slow", "100k")
        self.machine.well("stop", "sluice")
        process.communicate(timeout=support.ANSWER_SECONDS)
        self.assertNotEqual(process.returncode, 0)
        self.assertEqual(self.machine.shown("ActiveState", "Result"), ("inactive", "success"))
        self.assertFalse(self.stored("slow").exists())

    def test_what_dies_is_started_again_and_what_is_configured_badly_is_not(self):
        self.machine.well("start", "sluice")
        self.machine.well("kill", "--signal=KILL", "sluice")
        wait_until(lambda: self.machine.shown("NRestarts", "ActiveState") == ("1", "active"), "it is started again")
        self.assertEqual(self.curl(f"{URL}/healthz"), 200)
        self.machine.well("stop", "sluice")
        self.machine.systemctl("reset-failed", "sluice")
        with self.configured("engine: steam"):
            self.assertEqual(self.machine.systemctl("start", "sluice").returncode, 1)
        self.assertEqual(self.machine.shown("NRestarts", "ExecMainStatus", "ActiveState"), ("0", "2", "failed"))
        self.assertIn('engine: "steam"', self.machine.read(LOG))

    # ---- the socket ----

    def test_the_first_connection_starts_it(self):
        self.machine.well("start", "sluice.socket")
        self.assertEqual(self.machine.shown("ActiveState"), ("inactive",))
        self.assertEqual(self.curl("-T", self.blob, f"{URL}/first"), 201)
        # It serves, and the word of that may be on its way.
        wait_until(lambda: self.machine.shown("ActiveState") == ("active",), "systemd has heard of it")
        self.assertIn("LISTEN_FDS", self.said("sockets"))

    def test_another_socket_is_for_https_and_a_reload_brings_its_new_certificate(self):
        """A port that takes root elsewhere, a key that only the group may read, and it serves already."""
        self.machine.well("start", "sluice.socket", "sluice.service")
        inside = pathlib.Path(f"/proc/{self.machine.pid}/root")
        group = int(self.machine.run("id", "-g", "sluice").stdout)
        folder, configuration = inside / "etc/sluice/tls", inside / "etc/sluice/sluice.yaml"
        folder.mkdir()
        authority = Authority(self.folder)
        first = self.renew(authority, folder, group)
        before = configuration.read_text()
        self.addCleanup(configuration.write_text, before)
        configuration.write_text(before + "tls-cert: /etc/sluice/tls/cert.pem\ntls-key: /etc/sluice/tls/key.pem\n")
        self.machine.well("stop", "sluice.socket", "sluice.service")
        self.machine.well("start", *UNITS)
        self.assertEqual(self.curl("-k", "-T", self.blob, "https://127.0.0.1/secure"), 201)
        self.assertEqual(self.curl(f"{URL}/healthz"), 200)
        self.assertEqual(self.certificate(), first)
        second = self.renew(authority, folder, group)
        self.machine.well("reload", "sluice.service")
        wait_until(lambda: self.certificate() == second, "the new certificate is served")

    def renew(self, authority, folder, group):
        """Puts a new certificate there. What it is known by."""
        cert, key = authority.issue("cert", "localhost")
        shutil.copy(cert, folder / "cert.pem")
        shutil.copy(key, folder / "key.pem")
        (folder / "key.pem").chmod(0o640)
        os.chown(folder / "key.pem", 0, group)
        return well("openssl", "x509", "-noout", "-serial", "-in", cert).stdout

    def certificate(self):
        """What the server that is running shows."""
        shown = self.machine.popen("openssl", "s_client", "-connect", "127.0.0.1:443").communicate(timeout=20)[0]
        return well("openssl", "x509", "-noout", "-serial", input=shown).stdout

    def test_no_connection_is_refused_while_it_is_started_again(self):
        self.machine.well("start", "sluice.socket", "sluice.service")
        uploads = self.machine.curl_many(30, "-T", self.blob, f"{URL}/many")
        for _ in range(3):
            self.machine.well("restart", "sluice.service")
        told, complaint = uploads.communicate(timeout=120)
        self.assertEqual((told.split(), complaint), (["201"] * 30, ""))


if __name__ == "__main__":
    unittest.main()
