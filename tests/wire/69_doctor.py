"""`sluice doctor` finds what is wrong, names the cure and says by its exit code whether sluice could serve; `sluice
health` says whether one does."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import threading
import unittest

import faults
import support
from support import NO_URING, Sluice, content, raw, run_program, wait_until

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]


class Report:
    """What the doctor said, as an object."""

    def __init__(self, *words, wrapper=(), is_quick=True, **named):
        named.setdefault("listen", "127.0.0.1:0")
        flags = ["--json", "--quick"] if is_quick else ["--json"]
        done = run_program("doctor", *flags, *support.to_options(words, named), wrapper=wrapper)
        self.exit_code, self.stderr = done.returncode, done.stderr
        self.told = json.loads(done.stdout)

    def all(self, what):
        return [finding for finding in self.told["findings"] if finding["what"] == what]

    def one(self, what):
        found = self.all(what)
        assert len(found) == 1, (what, self.told["findings"])
        return found[0]

    @property
    def problems(self):
        return [finding["what"] for finding in self.told["findings"] if finding["level"] == "problem"]


class Doctor(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-doctor-"))
        os.chmod(self.folder, 0o755)
        self.root = pathlib.Path(self.folder, "root")

    def report(self, *words, **named):
        named.setdefault("root", self.root)
        return Report(*words, **named)

    def assert_found(self, report, what, level, words, cure):
        finding = report.one(what)
        self.assertEqual(finding["level"], level, finding)
        self.assertRegex(finding["words"], words)
        self.assertRegex(finding["cure"] or "", cure)

    def assert_serves(self, report):
        self.assertEqual((report.exit_code, report.problems, report.told["serves"]), (0, [], True), report.told)

    def assert_unfit(self, report, *problems):
        self.assertEqual((report.exit_code, report.problems, report.told["serves"]), (1, [*problems], False))

    # ---- a machine that will do ----

    def test_all_is_well_and_nothing_is_left(self):
        report = self.report(is_quick=False, digest="sha-256,crc32c")
        self.assert_serves(report)
        self.assertEqual(os.listdir(self.folder), [])
        self.assertRegex(report.one("root")["words"], "which will be made")
        self.assertRegex(report.one("write speed")["words"], r"\A\d+ MB/s: one file of \d+ MiB by .*, durability full")
        self.assertRegex(report.one("small files")["words"], r"\A\d+ a second")
        self.assertEqual(len(report.all("digest speed")), 2)

    def test_beside_a_server_that_goes_on(self):
        with Sluice() as server, raw(server) as client:
            client.send(b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
            wait_until(lambda: support.sockets(server.pid) > 1, "the upload")
            before = sorted(os.listdir(server.uploads))
            report = self.report(root=server.root, listen=f"{server.host}:{server.port}", is_quick=False)
            self.assert_serves(report)
            self.assert_found(report, "listen", "note", "is taken", "you have running")
            self.assertEqual(sorted(os.listdir(server.uploads)), before)
            self.assertEqual(client.send(b"world").answer().status, 201)

    def test_for_people_it_is_a_line_each(self):
        done = run_program("doctor", "--quick", "--root", str(self.root), "--listen", "127.0.0.1:0")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        findings, memory, descriptors, verdict = done.stdout.split("\n\n")
        for line in findings.splitlines():
            self.assertRegex(line, r"\A(ok|note|problem) +\S")
        self.assertRegex(memory, r"\Amemory, at most \d+")
        self.assertRegex(descriptors, r"\Adescriptors, wanted \d+ of \d+")
        self.assertEqual(verdict, "sluice can serve here\n")

    def test_a_bad_configuration_is_told_as_at_a_start(self):
        done = run_program("doctor", "--loops", "junk")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("loops", done.stderr)

    # ---- engine and limits ----

    @unittest.skipUnless(NO_URING, "SLUICE_NO_URING names no program")
    def test_no_io_uring(self):
        for errno_name in ("EPERM", "ENOSYS"):
            with self.subTest(errno_name):
                report = self.report(wrapper=[NO_URING, errno_name])
                self.assert_serves(report)
                self.assert_found(report, "engine", "note", rf"\Athreads: io_uring .*{errno_name}.*seccomp profile",
                                  "allow io_uring_setup, io_uring_enter, io_uring_register")
                self.assertRegex(report.one("seccomp")["words"], "a filter")
                report = self.report(wrapper=[NO_URING, errno_name], engine="io_uring")
                self.assert_unfit(report, "engine")

    @unittest.skipUnless(os.geteuid() == 0, "takes root, to become somebody else")
    def test_low_memlock(self):
        report = self.report(wrapper=["prlimit", "--memlock=65536", *NOBODY], root=self.readable_root())
        self.assert_serves(report)
        if report.one("engine")["words"].startswith("io_uring"):
            self.assert_found(report, "memlock", "note", "64 KiB, too little", "LimitMEMLOCK=infinity")
            self.assert_found(report, "engine", "note", "not registered", "MEMLOCK")

    def readable_root(self):
        self.root.mkdir()
        os.chown(self.root, 65534, 65534)
        return self.root

    def test_few_descriptors(self):
        report = self.report(wrapper=["prlimit", "--nofile=1064"], loops=1, max_connections=1000)
        self.assert_serves(report)
        self.assert_found(report, "descriptors", "note", "1064 are enough for 600 of the 1000", "LimitNOFILE")
        self.assertEqual(report.told["descriptors"]["wanted"], 3064)

    def test_little_memory(self):
        report = self.report(buffer_memory="16Ti", loops=1)
        self.assert_serves(report)
        self.assert_found(report, "memory", "note", "of which it may take 16 TiB", "less of max-connections and buffer")
        memory = report.told["memory"]
        self.assertEqual(memory["bytes"], sum(term["count"] * term["each"] for term in memory["terms"]))

    # ---- the root ----

    def test_a_link_in_the_way_and_a_file(self):
        self.root.write_text("a file")
        report = self.report()
        self.assert_unfit(report, "root")
        self.assert_found(report, "root", "problem", "cannot be written: Not a directory", "--root DIR")

    @unittest.skipUnless(os.geteuid() == 0, "takes root, to become somebody else")
    def test_a_root_of_somebody_else(self):
        self.root.mkdir(mode=0o755)
        report = self.report(wrapper=NOBODY)
        self.assert_unfit(report, "root")
        self.assert_found(report, "root", "problem", "Permission denied", "chown -R 65534:65534")
        os.chown(self.root, 65534, 65534)
        (self.root / "files").mkdir()
        self.assert_unfit(self.report(wrapper=NOBODY), "root")
        os.chown(self.root / "files", 65534, 65534)
        self.assert_serves(self.report(wrapper=NOBODY))

    def test_tmpfs(self):
        if not os.access("/dev/shm", os.W_OK):
            self.skipTest("no /dev/shm to be written")
        with tempfile.TemporaryDirectory(prefix="sluice-doctor-", dir="/dev/shm") as folder:
            if os.statvfs(folder).f_bavail == 0:
                self.skipTest("no room in /dev/shm")
            report = self.report(root=folder, min_free=0)
            self.assert_serves(report)
            self.assertRegex(report.one("file system")["words"], r"\Atmpfs")
            self.assert_found(report, "tmpfs", "note", "memory", "on a disk")
            self.assertEqual(os.listdir(folder), [])

    def test_a_full_disk(self):
        disk = faults.loop_fs(self, mib=16)
        with open(pathlib.Path(disk.path, "fill"), "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        report = self.report(root=disk.path, min_free=0)
        self.assertEqual((report.exit_code, report.problems[0]), (1, "root"))
        self.assert_found(report, "root", "problem", "No space left", "make room")

    def test_less_than_min_free(self):
        disk = faults.loop_fs(self, mib=16)
        report = self.report(root=disk.path, is_quick=False)
        self.assert_unfit(report, "room")
        self.assert_found(report, "room", "problem", "min-free keeps 256 MiB", "lower min-free")
        self.assertRegex(report.one("write speed")["words"], "not tried")
        self.assert_serves(self.report(root=disk.path, min_free="1Mi"))

    def test_no_inodes(self):
        disk = faults.loop_fs(self, mib=16, inodes=16)
        with contextlib.suppress(OSError):
            for number in range(100):
                pathlib.Path(disk.path, str(number)).touch()
        report = self.report(root=disk.path, min_free=0)
        self.assertEqual(report.exit_code, 1)
        self.assert_found(report, "inodes", "problem", r"\A0 of 16 ", "more inodes")

    def test_a_read_only_file_system(self):
        disk = faults.loop_fs(self)
        disk.remount("ro")
        try:
            report = self.report(root=disk.path, min_free=0)
        finally:
            disk.remount("rw")
        self.assert_unfit(report, "root")
        self.assert_found(report, "root", "problem", "Read-only file system", "mount it for writing")

    def test_xfs(self):
        home = pathlib.Path(self.folder)
        image, mount = home / "image", home / "mount"
        mount.mkdir()
        with open(image, "wb") as file:
            file.truncate(320 << 20)
        try:
            for command in (["mkfs.xfs", "-q", image], ["mount", "-o", "loop", image, mount]):
                subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.skipTest(f"no xfs here: {getattr(error, 'stderr', None) or error}")
        try:
            report = self.report(root=mount, min_free=0)
        finally:
            subprocess.run(["umount", mount], check=True)
        self.assert_serves(report)
        self.assertRegex(report.one("file system")["words"],
                         r"\Axfs, O_TMPFILE, O_DIRECT, attributes, noreplace, fallocate, reflinks")

    # ---- where it listens ----

    def test_an_address_of_somebody_else_and_certificates_that_are_not_there(self):
        report = self.report(listen="192.0.2.1:80")
        self.assert_unfit(report, "listen")
        self.assert_found(report, "listen", "problem", "192.0.2.1:80: Cannot assign", "--listen")
        report = self.report(listen="127.0.0.1:0 tls", tls_cert="/nonexistent", tls_key="/nonexistent")
        self.assert_unfit(report, "certificates")


    def test_an_address_for_the_operator(self):
        report = self.report(admin_listen="127.0.0.1:0")
        self.assert_serves(report)
        self.assertEqual(report.one("admin-listen")["words"], "127.0.0.1:0")
        report = self.report(admin_listen="192.0.2.1:80")
        self.assert_unfit(report, "admin-listen")
        self.assert_found(report, "admin-listen", "problem", "192.0.2.1:80: Cannot assign", "--admin-listen")

    # ---- where it logs ----

    def test_a_log_that_can_be_written_and_one_that_cannot(self):
        log = pathlib.Path(self.folder, "log")
        report = self.report(log_file=log)
        self.assert_serves(report)
        self.assertEqual(report.one("log-file")["words"], f"{log}, which will be made")
        self.assertFalse(log.exists())
        log.write_text("before")
        self.assertEqual(self.report(log_file=log).one("log-file")["words"], str(log))
        self.assertEqual(log.read_text(), "before")
        report = self.report(log_file=pathlib.Path(self.folder, "no/log"))
        self.assert_unfit(report, "log-file")
        self.assert_found(report, "log-file", "problem", "No such file", "stderr")


class Health(unittest.TestCase):
    def health(self, *words):
        done = run_program("health", *words)
        self.assertEqual((done.stderr, done.stdout.count("\n")), ("", 1))
        return done.returncode, done.stdout.rstrip("\n")

    def test_a_server(self):
        with Sluice() as server:
            address = f"{server.host}:{server.port}"
            self.assertEqual(self.health(f"http://{address}"), (0, f"healthy: http://{address}: 200"))
            self.assertEqual(self.health(f"http://{address}/files/")[0], 0)
            self.assertEqual(self.health(f"http://localhost:{server.port}/")[0], 0)
            self.assertEqual(self.health("--listen", address)[0], 0)
            self.assertEqual(self.health(f"http://{address}/files/nothing"),
                             (1, f"unhealthy: http://{address}/files/nothing: 404"))
            code, words = self.health(f"https://{address}")
            self.assertEqual(code, 1)
            self.assertIn("TLS", words)

    def test_all_addresses_and_a_unix_socket(self):
        with tempfile.TemporaryDirectory(prefix="sluice-health-") as folder:
            with Sluice("--listen", ":0", "--listen", f"unix:{folder}/socket") as server:
                self.assertEqual(self.health(f"unix:{folder}/socket")[0], 0)
                self.assertEqual(self.health("--listen", f"unix:{folder}/socket")[0], 0)
                self.assertEqual(self.health("--listen", f":{server.port}")[0], 0)
                self.assertEqual(self.health("--listen", f"0.0.0.0:{server.port}")[0], 0)

    def test_tls_with_a_certificate_of_nobody(self):
        with tempfile.TemporaryDirectory(prefix="sluice-health-") as folder:
            cert, key = pathlib.Path(folder, "cert"), pathlib.Path(folder, "key")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=nobody.test"],
                           check=True, capture_output=True)
            words = ["--listen", "127.0.0.1:0 tls", "--tls-cert", cert, "--tls-key", key]
            with Sluice(*words) as server:
                address = f"{server.host}:{server.port}"
                self.assertEqual(self.health(f"https://{address}")[0], 0)
                self.assertEqual(self.health("--listen", f"{address} tls", *map(str, words[2:]))[0], 0)
                self.assertEqual(self.health(f"http://{address}")[0], 1)

    def test_nobody(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        self.assertEqual(self.health(f"http://127.0.0.1:{port}"),
                         (1, f"unhealthy: http://127.0.0.1:{port}: not connected: Connection refused"))
        self.assertEqual(self.health("unix:/nonexistent/socket")[0], 1)
        self.assertEqual(self.health("--listen", "127.0.0.1:0")[0], 1)
        for url in ("", "localhost", "ftp://localhost/", "http://", "http://a b/", "http://[::1", "http://a.invalid/"):
            with self.subTest(url):
                code, words = self.health(url) if url else (1, "unhealthy")
                self.assertEqual((code, words.split(":")[0]), (1, "unhealthy"))

    def test_somebody_who_takes_and_says_nothing_and_somebody_else(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            code, words = self.health(f"http://127.0.0.1:{silent.getsockname()[1]}")
            self.assertEqual(code, 1)
            self.assertRegex(words, "no answer in time")
        with socket.create_server(("127.0.0.1", 0)) as other:
            def greet():
                peer = other.accept()[0]
                with peer:
                    peer.recv(1000)
                    peer.sendall(b"220 mail.test ESMTP\r\n")
            thread = threading.Thread(target=greet)
            thread.start()
            code, words = self.health(f"http://127.0.0.1:{other.getsockname()[1]}")
            thread.join()
            self.assertEqual(code, 1)
            self.assertRegex(words, "does not speak HTTP")

    def test_the_operators_address_is_asked_first(self):
        with Sluice(admin_listen="127.0.0.1:0") as server:
            admin = re.search(r"http://127.0.0.1:\d+", server.said("admin"))[0]
            public = f"{server.host}:{server.port}"
            self.assertEqual(self.health("--listen", public, "--admin-listen", admin.removeprefix("http://"))[0], 0)
            self.assertEqual(self.health("--listen", public)[0], 1)

    def test_one_that_drains(self):
        with Sluice() as server, raw(server) as client:
            client.send(b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
            self.assertEqual(client.answer().status, 100)
            address = f"http://{server.host}:{server.port}"
            self.assertEqual(self.health(address)[0], 0)
            server.terminate()
            wait_until(lambda: self.health(address)[0] == 1, "it takes no new connections")
            self.assertEqual(client.send(content(10)).answer().status, 201)
            self.assertEqual(server.wait(), 0)


if __name__ == "__main__":
    unittest.main()
