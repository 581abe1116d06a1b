"""The image, built from this checkout and run as an operator would run it: hardened, under the profiles of runtimes and
under the one that we ship, as anybody, with a volume that may not be written; healthy or not, and stopped."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading
import unittest

import containers
import support
from containers import Container

MIB = 1 << 20
SHIPPED = support.REPOSITORY / "docker/seccomp.io_uring.json"
URL = "http://127.0.0.1:8080"
OWN_BYTES_MAX = 16 * MIB  # what the image adds to its base


@unittest.skipIf(support.sanitizer(), "the image has a build of its own")
class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.podman = containers.Podman()
        cls.addClassCleanup(cls.podman.close)
        cls.podman.make_base()
        cls.podman.build()

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-image-")))
        os.chmod(self.folder, 0o755)
        self.sample = self.folder / "sample"
        self.sample.write_bytes(support.content(3 * MIB + 17))

    def running(self, *options, **named):
        return self.enterContext(Container(self.podman, *options, **named))

    def assert_serves(self, container):
        """A file goes in and comes back, and it is well."""
        self.assertEqual(container.curl("-T", self.sample, f"{URL}/"), f"{URL}/files/sample\n".encode())
        self.assertEqual(container.curl(f"{URL}/files/sample"), self.sample.read_bytes())
        self.assertEqual(container.run("sluice", "health").stdout, "healthy: 0.0.0.0:8080, /healthz: 200\n")
        self.assertEqual(container.stop(), 0, container.logs())

    # ---- the engine ----

    def test_the_default_profile_hides_io_uring_and_threads_serve(self):
        container = self.running()
        self.assertRegex(container.said("engine"), r"\Athreads: io_uring is not to be had here \(ENOSYS: .*a seccomp "
                                                   r"profile hides it.*; cure: allow io_uring_setup, ")
        self.assert_serves(container)

    def as_docker(self, profile):
        """The same, but that what is forbidden is EPERM: that of Docker says so, and 20.10 reads no other."""
        path = self.folder / "profile.json"
        path.write_text(json.dumps(json.loads(profile.read_text()) | {"defaultErrnoRet": 1, "defaultErrno": "EPERM"}))
        return path

    def test_a_profile_that_forbids_it_as_that_of_docker(self):
        container = self.running(profile=self.as_docker(containers.DEFAULT_PROFILE))
        self.assertRegex(container.said("engine"), r"\Athreads: io_uring is forbidden here \(EPERM: a seccomp profile")
        self.assert_serves(container)

    def test_the_profile_that_we_ship_allows_it(self):
        container = self.running(profile=SHIPPED)
        self.assertRegex(container.said("engine"), r"\Aio_uring: the kernel allows it")
        self.assertRegex(container.run("sluice", "doctor", "--quick").stdout, r"(?m)^(ok|note) +engine +io_uring")
        self.assert_serves(container)

    def test_the_profile_that_we_ship_as_docker_reads_it(self):
        container = self.running(profile=self.as_docker(SHIPPED))
        self.assertRegex(container.said("engine"), r"\Aio_uring: the kernel allows it")
        self.assert_serves(container)

    def test_where_io_uring_must_be_its_absence_is_the_end(self):
        container = self.running("-e", "SLUICE_ENGINE=io_uring")
        self.assertEqual(container.state["ExitCode"], 3)
        self.assertRegex(container.logs(), r"sluice: .*io_uring is not to be had here .*; cure: allow io_uring_setup")

    # ---- whose it is ----

    def test_it_is_nobody_and_may_nothing(self):
        container = self.running()
        status = container.run("cat", "/proc/1/status").stdout
        for line in (r"Uid:\t10001\t10001\t10001\t10001", r"Gid:\t10001\t10001\t10001\t10001", r"CapBnd:\t0{16}",
                     r"CapEff:\t0{16}", r"NoNewPrivs:\t1", r"Seccomp:\t2"):
            self.assertRegex(status, f"(?m)^{line}$")
        self.assertNotEqual(container.run("touch", "/usr/bin/x", check=False).returncode, 0)

    def test_it_serves_as_anybody_and_the_volume_stays(self):
        for user, owner in (("4711:4712", (4711, 4712)), ("4711", (4711, 0)), ("0:0", (0, 0))):
            volume = "v" + user.replace(":", "-")
            self.addCleanup(self.podman.call, "volume", "rm", volume)
            with self.subTest(user):
                for expected in ([], ["sample"]):
                    with Container(self.podman, "--user", user, "-v", f"{volume}:/data") as container:
                        listed = json.loads(container.curl(f"{URL}/files/"))["files"]
                        self.assertEqual([file["name"] for file in listed], expected)
                        if not expected:
                            self.assert_serves(container)
                stored = pathlib.Path(self.podman.inspect(volume, "volume")["Mountpoint"], "files/sample").stat()
                self.assertEqual((stored.st_uid, stored.st_gid), owner)

    def assert_refuses(self, words, *options):
        with Container(self.podman, *options) as container:
            self.assertEqual(container.state["ExitCode"], 3)
            self.assertRegex(container.logs(), words)
            self.assertEqual(container.logs().count("\n"), 1)

    def test_a_volume_that_may_not_be_written_is_told_with_the_cure_and_the_cure_works(self):
        volume = self.folder / "volume"
        volume.mkdir(mode=0o755)
        mounted = f"{volume}:/data"
        for user in ("10001:10001", "4711:4712"):
            self.assert_refuses(r"\Asluice: root: cannot make folders in /data: Permission denied: it is of user 0:0 "
                                rf"\(mode 0755\), and this is user {user}; chown -R {user} /data .*--user 0:0",
                                "--user", user, "-v", mounted)
        self.assert_refuses(r"\Asluice: root: cannot make folders in /data: Read-only file system; mount it for "
                            r"writing", "-v", f"{mounted}:ro")
        with Container(self.podman, "--user", "0:0", "-v", mounted) as container:
            self.assert_serves(container)
        self.assert_refuses(r"this is user 10001:10001; chown -R 10001:10001 /data ", "-v", mounted)
        subprocess.run(["chown", "-R", "10001:10001", volume], check=True)
        with Container(self.podman, "-v", mounted) as container:
            self.assertEqual(container.curl(f"{URL}/files/sample"), self.sample.read_bytes())

    # ---- its life ----

    def test_its_own_check_tells_who_is_well_and_who_is_not(self):
        container = self.running(health=True)
        self.assertEqual(self.podman.call("healthcheck", "run", container.id).returncode, 0)
        self.podman.call("kill", "--signal=STOP", container.id)
        try:
            sick = self.podman.call("healthcheck", "run", container.id, check=False)
            told = container.run("sluice", "health", check=False)
        finally:
            self.podman.call("kill", "--signal=CONT", container.id)
        self.assertNotEqual(sick.returncode, 0, sick)
        self.assertEqual(told.returncode, 1, told)
        self.assertRegex(told.stdout, r"\Aunhealthy: 0\.0\.0\.0:8080, /healthz: ")
        self.assertEqual(self.podman.call("healthcheck", "run", container.id).returncode, 0)

    def test_the_operators_address_is_asked_when_there_is_one(self):
        container = self.running("-e", "SLUICE_ADMIN_LISTEN=0.0.0.0:9090")
        self.assertEqual(container.run("sluice", "health").stdout, "healthy: 0.0.0.0:9090, /healthz: 200\n")

    def test_what_is_in_flight_when_it_stops_is_finished(self):
        container = self.running()
        data = self.sample.read_bytes()
        upload = subprocess.Popen(container.curl_command("-T", "-", "-w", "%{http_code}", f"{URL}/late"),
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(upload.stdout.close)
        self.addCleanup(upload.kill)
        upload.stdin.write(data[:MIB])
        upload.stdin.flush()
        support.wait_until(lambda: re.search(rb"(?m)^sluice_uploads_in_flight 1$", container.curl(f"{URL}/metrics")),
                           "the upload is under way")
        codes = []
        stopping = threading.Thread(target=lambda: codes.append(container.stop()))
        stopping.start()
        support.wait_until(lambda: "stopping on signal 15" in container.logs(), "SIGTERM has come to sluice")
        told, _ = upload.communicate(data[MIB:], timeout=60)
        stopping.join(60)
        self.assertEqual(told, f"{URL}/files/late\n201".encode())
        self.assertEqual(codes, [0], container.logs())

    # ---- what it is ----

    def test_what_it_says_of_itself_and_its_size(self):
        image, base = self.podman.inspect(containers.IMAGE), self.podman.inspect(containers.BASE)
        config = image["Config"]
        self.assertEqual((config["User"], config["StopSignal"], config["Entrypoint"], list(config["Volumes"])),
                         ("10001:10001", "SIGTERM", ["/usr/bin/sluice"], ["/data"]))
        self.assertEqual(image["Healthcheck"]["Test"], ["CMD", "/usr/bin/sluice", "health"])
        version = self.podman.call("run", "--rm", "--no-healthcheck", containers.IMAGE, "--version").stdout
        self.assertEqual(version, f"sluice {config['Labels']['org.opencontainers.image.version']}\n")
        own = image["Size"] - base["Size"]
        print(f"{image['Size'] / 1e6:.1f} MB, {own / 1e6:.1f} MB of it above the base", end=" ... ")
        self.assertLess(own, OWN_BYTES_MAX)


if __name__ == "__main__":
    unittest.main()
