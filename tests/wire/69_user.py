"""Started as root with --user, the program binds and reads its keys as root, and serves as somebody who cannot go back;
and what is secret stands in no error, no log and no answer."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import unittest

import support
from support import Sluice, curl, raw, run_program, wait_until

NOBODY, STRANGER = 65534, 64321
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def make_certificate(folder):
    cert, key = pathlib.Path(folder, "cert.pem"), pathlib.Path(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost"],
                   check=True, capture_output=True)
    os.chmod(key, 0o600)
    return cert, key


def free_low_port():
    for port in range(1023, 900, -1):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise unittest.SkipTest("no free port below 1024")


def of_each_thread(pid, *keys):
    """The lines of /proc/PID/task/*/status that begin so, as sets of words."""
    found = set()
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            name, _, words = line.partition(":")
            if name in keys:
                found.add((name, *words.split()))
    return found


@unittest.skipUnless(os.geteuid() == 0, "takes root, to become somebody else")
@unittest.skipIf(support.sanitizer(), "sanitizers read /proc, which is root's then")
class User(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-user-"))
        os.chmod(self.folder, 0o755)
        self.root = pathlib.Path(self.folder, "root")
        self.root.mkdir()
        os.chown(self.root, STRANGER, STRANGER)

    def test_it_is_somebody_else_before_anybody_is_served(self):
        for engine in ("io_uring", "threads"):
            with self.subTest(engine), Sluice(root=self.root, user=f"{STRANGER}:{NOBODY}", engine=engine,
                                              listen=f"127.0.0.1:{free_low_port()}") as server:
                self.assertEqual(server.said("user"), f"{STRANGER} (uid {STRANGER}, gid {NOBODY})")
                uid, gid = str(STRANGER), str(NOBODY)
                self.assertEqual(of_each_thread(server.pid, "Uid", "Gid", "Groups", "CapEff", "CapPrm", "NoNewPrivs"),
                                 {("Uid", uid, uid, uid, uid), ("Gid", gid, gid, gid, gid), ("Groups",),
                                  ("CapEff", "0" * 16), ("CapPrm", "0" * 16), ("NoNewPrivs", "1")})
                self.assertEqual(curl("-T", __file__, f"{server.url}/{engine}").status, 201)
                stat = server.path(engine).stat()
                self.assertEqual((stat.st_uid, stat.st_gid), (STRANGER, NOBODY))
                self.assertEqual(curl(f"{server.url}/files/{engine}").body, pathlib.Path(__file__).read_bytes())

    def test_a_root_that_is_not_theirs_is_told_and_nobody_is_served(self):
        os.chown(self.root, 0, 0)
        theirs = pathlib.Path(self.folder, "theirs")
        theirs.mkdir()
        os.chown(theirs, STRANGER, STRANGER)
        path = theirs / "socket"
        done = run_program("--root", str(self.root), "--listen", f"unix:{path}", "--user", f"{STRANGER}:{STRANGER}")
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (3, "", 1))
        self.assertRegex(done.stderr, r"root: cannot make folders in .*: Permission denied: it is of user 0:0 "
                                      rf"\(mode 0755\), and this is user {STRANGER}:{STRANGER}; chown -R {STRANGER}:")
        self.assertFalse(path.exists())

    def test_whose_it_is_and_what_to_do_is_told_in_one_line(self):
        """As in a container that is not root's, whose volume is of whoever made it."""
        for name in ("deep", "theirs/files", "theirs/uploads", "results/files", "own"):
            pathlib.Path(self.folder, name).mkdir(parents=True)
        os.chmod(pathlib.Path(self.folder, "theirs/uploads"), 0o700)
        for name, owner, mode in (("theirs", NOBODY, 0o755), ("theirs/files", NOBODY, 0o755),
                                  ("results", NOBODY, 0o755), ("own", NOBODY, 0o500), ("deep", 0, 0o700)):
            path = pathlib.Path(self.folder, name)
            os.chown(path, owner, -1)
            path.chmod(mode)
        us = f"{NOBODY}:{NOBODY}"
        whose = rf"is of user 0:0 \(mode 0755\), and this is user {us}; "
        cases = {"new": rf"cannot make ROOT: Permission denied: the folder above {whose}"
                        rf"install -d -o {NOBODY} -g {NOBODY} ROOT as root, or ",
                 "theirs": rf"cannot write into ROOT/uploads: Permission denied: it is of user 0:0 \(mode 0700\), .*; "
                           rf"chown -R {us} ROOT \(of a container: what is mounted there\), run as its user "
                           r"\(of a container: --user 0:0\), or ",
                 "results": rf"cannot write into ROOT/files: Permission denied: it {whose}chown -R {us} ROOT ",
                 "own": r"cannot make folders in ROOT: Permission denied: .*; chmod -R u\+rwX ROOT, or ",
                 "deep/er": r"cannot open ROOT: Permission denied: .*may not enter a folder above it; "}
        for name, words in cases.items():
            root = f"{self.folder}/{name}"
            with self.subTest(name):
                done = run_program("--root", root, "--listen", "127.0.0.1:0", wrapper=AS_NOBODY)
                self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (3, "", 1), done)
                self.assertRegex(done.stderr, r"\Asluice: root: " + words.replace("ROOT", root))
                self.assertRegex(done.stderr, r"choose another folder with --root DIR\n\Z")

    def test_who_is_not_there_and_who_may_not(self):
        for user, words in {"nobody-of-this-name": "no user nobody-of-this-name", "nobody:no-group-of-this-name":
                            "no group no-group-of-this-name", "64321": "64321:GROUP"}.items():
            with self.subTest(user):
                done = run_program("--root", str(self.root), "--listen", "127.0.0.1:0", "--user", user)
                self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (3, "", 1))
                self.assertIn(words, done.stderr)
        done = run_program("--root", str(self.root), "--listen", "127.0.0.1:0", "--user", f"{STRANGER}:{STRANGER}",
                           wrapper=AS_NOBODY)
        self.assertEqual((done.returncode, done.stdout), (3, ""))
        self.assertRegex(done.stderr, "cannot become .*; only root can")
        os.chown(self.root, NOBODY, NOBODY)
        with Sluice(root=self.root, user=f"{NOBODY}:{NOBODY}", wrapper=AS_NOBODY, listen="127.0.0.1:0") as server:
            self.assertIn(f"uid {NOBODY}", server.said("user"))

    def test_root_without_a_word_is_told(self):
        with Sluice() as server:
            self.assertRegex(server.said("user"), r"\Aroot, .*--user")

    def test_keys_of_root_are_read_once_and_that_is_told(self):
        cert, key = make_certificate(self.folder)
        options = {"root": self.root, "user": f"{STRANGER}:{STRANGER}", "listen": "127.0.0.1:0 tls",
                   "tls_cert": cert, "tls_key": key}
        with Sluice(**options) as server:
            self.assertRegex(server.said("user"), rf"may not read {key}: SIGHUP cannot reload")
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: any("not reloaded" in line for line in server.log), "the reload fails")
            line = next(line for line in server.log if "not reloaded" in line)
            self.assertRegex(line, rf"the old ones stay: .*{key}.*; they are read as user {STRANGER}")
            self.assertEqual(curl("-k", "--http1.1", f"{server.url}/healthz").status, 200)
        os.chown(key, STRANGER, STRANGER)
        with Sluice(**options) as server:
            self.assertNotIn("SIGHUP", server.said("user"))
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: any("certificates reloaded" in line for line in server.log), "the reload")

    def test_the_doctor_looks_as_that_user(self):
        words = ["doctor", "--quick", "--root", str(self.root), "--listen", "127.0.0.1:0", "--user"]
        self.assertEqual(run_program(*words, f"{STRANGER}:{STRANGER}").returncode, 0)
        done = run_program(*words, f"{NOBODY}:{NOBODY}")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"(?m)^problem  root .*Permission denied: .*; cure: chown")


class Secrets(unittest.TestCase):
    """Content of keys, environment, memory of the program: none of it is told, whatever goes wrong."""

    secret = "correct-horse-battery-staple"

    def assert_silent(self, *texts):
        for text in texts:
            self.assertNotIn(self.secret, text)

    def test_no_start_that_fails_tells_what_is_in_a_file(self):
        with tempfile.TemporaryDirectory(prefix="sluice-secret-") as folder:
            bad = pathlib.Path(folder, "bad.pem")
            bad.write_text(f"-----BEGIN PRIVATE KEY-----\n{self.secret}\n-----END PRIVATE KEY-----\n")
            cert, key = make_certificate(folder)
            for words in (["--tls-cert", cert, "--tls-key", bad], ["--tls-cert", bad, "--tls-key", key],
                          ["--tls-cert", bad, "--tls-key", bad], ["-c", bad]):
                with self.subTest(words):
                    done = run_program("--listen", "127.0.0.1:0 tls", "--root", folder, *map(str, words))
                    self.assertNotEqual(done.returncode, 0)
                    self.assertIn(str(bad), done.stderr)
                    self.assert_silent(done.stdout, done.stderr)

    def test_a_reload_that_fails_tells_the_file_and_not_what_is_in_it(self):
        with tempfile.TemporaryDirectory(prefix="sluice-secret-") as folder:
            cert, key = make_certificate(folder)
            with Sluice(listen="127.0.0.1:0 tls", tls_cert=cert, tls_key=key) as server:
                key.write_text(f"-----BEGIN PRIVATE KEY-----\n{self.secret}\n-----END PRIVATE KEY-----\n")
                server.process.send_signal(signal.SIGHUP)
                wait_until(lambda: any("not reloaded" in line for line in server.log), "the reload fails")
                self.assertTrue(any(str(key) in line for line in server.log))
                self.assert_silent(*server.log, *server.banner)

    def test_no_answer_and_no_log_line_tells_of_the_environment_or_of_credentials(self):
        sent = [f"Authorization: Bearer {self.secret}", f"Cookie: session={self.secret}"]
        with Sluice(environment={"UNRELATED_TOKEN": self.secret}) as server, raw(server) as client:
            answers = [client.request(method, target, b"x" if method == "PUT" else b"", sent)
                       for method, target in (("PUT", "/a"), ("PUT", "/a"), ("GET", "/files/a"), ("GET", "/nothing"),
                                              ("DELETE", "/files/none"), ("GET", "/metrics"), ("GET", "/"),
                                              ("GET", "/files/?limit=x"), ("POST", "/uploads/x"),
                                              ("OPTIONS", "/files/"))]
            wait_until(lambda: len(server.log) >= len(answers), "a line for each")
            for answer in answers:
                self.assert_silent(answer.text, str(answer.headers))
            self.assert_silent(*server.log, *server.banner)
        done = run_program("doctor", "--quick", "--root", "/nonexistent", environment={"UNRELATED_TOKEN": self.secret})
        self.assert_silent(done.stdout, done.stderr)


if __name__ == "__main__":
    unittest.main()
