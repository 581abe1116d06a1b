"""Memory is bounded by configuration, whatever is sent and however slowly: --buffer-memory and 32 MiB for all the
rest."""

import pathlib
import resource
import subprocess
import time
import unittest

import faults
import support
from support import curl, wait_until

LOAD = pathlib.Path(support.BINARY).with_name("sl_load")
BUFFER_MIB = 64
REST_MIB = 32
CLIENTS = 2000
FDS_A_CLIENT = 3  # the server's: connection, file, and now and then a folder
QUICK_SECONDS = 5  # an upload of 10 MiB among slow clients, on a busy machine too


class Load:
    """The load generator at work. A context manager; leaving it waits for the end, and all requests must have got a
    2xx."""

    def __init__(self, server, *words):
        self.command = [str(LOAD), "--target", f"{server.host}:{server.port}", *map(str, words)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.process.kill()
        out, err = self.process.communicate()
        if kind is None:
            assert self.process.returncode == 0, f"{self.command}: {out} {err}"


@unittest.skipUnless(LOAD.exists(), f"no {LOAD}: build all targets")
class Memory:
    engine = None

    def setUp(self):
        self.server = self.enterContext(
            support.Sluice(engine=self.engine, buffer_memory=f"{BUFFER_MIB}Mi", durability="none"))

    def assert_memory_is_bounded(self):
        peak = support.rss_mib(self.server.pid)[1]
        faults.note(f"peak {peak:.0f} MiB with {BUFFER_MIB} MiB of buffers")
        if not faults.is_sanitized():
            self.assertLess(peak, BUFFER_MIB + REST_MIB)

    def put(self, name, data):
        begin = time.monotonic()
        answer = curl("-T", "-", "-H", f"Content-Length: {len(data)}", "-H", "Transfer-Encoding:",
                      f"{self.server.url}/{name}", data=data)
        self.assertEqual(answer.status, 201, answer)
        self.assertEqual(support.sha256(self.server.path(name)), support.sha256_of(data))
        return time.monotonic() - begin

    def connections(self):
        return support.fds(self.server.pid)

    def test_many_parallel_uploads(self):
        for method in ("put", "chunked", "multipart"):
            with Load(self.server, "--method", method, "--size", "16Mi", "--connections", 64, "--run-id", method):
                pass
        self.assertEqual(len(self.server.stored()), 3 * 64)
        self.assertEqual({path.stat().st_size for path in self.server.files.rglob("*.bin")}, {16 << 20})
        self.assert_memory_is_bounded()

    def test_thousands_of_slow_clients_hold_little_and_stop_nobody(self):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if limit < CLIENTS * FDS_A_CLIENT * 1.5:
            self.skipTest(f"{limit} descriptors are not enough for {CLIENTS} slow clients")
        data = support.content(10 << 20)
        slow = ["--size", "140k", "--rate", "10k", "--duration", 120]  # shorter ones have no file at first
        with (Load(self.server, "--method", "put", "--connections", CLIENTS * 4 // 5, *slow),
              Load(self.server, "--method", "multipart", "--connections", CLIENTS // 5, *slow)):
            wait_until(lambda: self.connections() > CLIENTS * 2, "all clients connected and their files open")
            took = self.put("normal", data)
            health = curl(self.server.url + "/healthz", seconds=QUICK_SECONDS)
            self.assertGreater(self.connections(), CLIENTS * 2, "the slow ones were gone before")
            self.assertEqual(health.status, 200)
            self.assertLess(took, QUICK_SECONDS)
        faults.note(f"10 MiB in {took:.2f} s beside {CLIENTS} slow clients")
        self.assertEqual(len(self.server.stored()), CLIENTS + 1)
        self.assert_memory_is_bounded()


faults.on_each_engine(globals(), Memory)

if __name__ == "__main__":
    unittest.main()
