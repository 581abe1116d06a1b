"""Everything at once, on several loops and hash threads: each method and dialect of the load generator against one
server, whose uploads expire and whose counters are read meanwhile. Built with ThreadSanitizer it is the server that
tells of a race, in its log and by its exit code; in any build all that is stored is whole."""

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import unittest

import dialects
import faults
from support import Sluice, curl, raw, sha256, wait_until

LOAD = os.environ.get("SLUICE_LOAD", "")
REQUESTS = 48
EXPIRY_SECONDS = 5  # long enough for whoever goes on with an upload, on a slow machine
SMALL, MIDDLE, LARGE = 4097, 300_001, 2_000_003
LOAD_SECONDS = 200
REPORT_LINES = 60

# What they are called in the names of their files: the listener, and what sl_load is told.
LOADS = {
    "put": ("http", "--size", LARGE),
    "small": ("http", "--size", SMALL),
    "chunked": ("http", "--method", "chunked", "--size", MIDDLE),
    "multipart": ("http", "--method", "multipart", "--size", MIDDLE, "--files", 2),
    "post": ("http", "--method", "post", "--size", MIDDLE),
    "tus": ("http", "--method", "tus", "--size", MIDDLE),
    "tus-create": ("http", "--method", "tus-create", "--size", SMALL),
    "tus-abandon": ("http", "--method", "tus-abandon", "--size", MIDDLE),
    "reset": ("http", "--size", LARGE, "--abort-after", "random"),
    "half-close": ("http", "--method", "multipart", "--size", MIDDLE, "--abort-after", "random", "--abort",
                   "half-close"),
    "get": ("http", "--method", "get", "--path", "/files/there"),
    "h1-tls": ("https", "--dialect", "h1-tls", "--size", MIDDLE),
    "h2c": ("http", "--dialect", "h2c", "--size", MIDDLE, "--streams", 12),
    "h2-tls": ("https", "--dialect", "h2-tls", "--size", MIDDLE, "--streams", 12),
}
STORED = {"put": LARGE, "small": SMALL, "chunked": MIDDLE, "post": MIDDLE, "tus": MIDDLE, "tus-create": SMALL,
          "h1-tls": MIDDLE, "h2c": MIDDLE, "h2-tls": MIDDLE}


class Load:
    """A context manager: the generator at work, at one listener."""

    def __init__(self, server, name, scheme, *words):
        url = next(url for url in server.urls if url.startswith(f"{scheme}://"))
        many = [] if "--dialect" in words else ["--connections", "4"]
        self.process = subprocess.Popen(
            [LOAD, "--target", url.rpartition("/")[2], "--run-id", name, "--requests", str(REQUESTS), *many,
             "--duration", str(LOAD_SECONDS), *map(str, words)], stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def report(self):
        """All that it told, once it is through."""
        said = self.process.communicate(timeout=LOAD_SECONDS + 20)[0]
        return self.process.returncode, json.loads(said)


class Threads:
    engine = None

    def setUp(self):
        if not LOAD:
            self.skipTest("SLUICE_LOAD names no sl_load")
        cert, key = dialects.certificate()
        self.server = self.enterContext(Sluice(
            listen=["127.0.0.1:0", "127.0.0.1:0 tls"], tls_cert=cert, tls_key=key, engine=self.engine, loops=3,
            hash_threads=3, digest="sha-256,crc32c", conflict="overwrite", name="{filename}",
            upload_expiry=EXPIRY_SECONDS))

    def keep_looking(self, is_over):
        """What is read while it changes: the counters, the list; and certificates and logs are opened anew."""
        while not is_over.wait(0.05):  # a pace, not an event: the others are the load
            with raw(self.server) as client:
                for target in ("/metrics", "/files/?limit=100"):
                    self.looked.append(client.request("GET", target).status)
            self.server.process.send_signal(signal.SIGHUP)

    def test_all_at_once(self):
        self.assertEqual(curl("-T", "-", f"{self.server.url}/there", data=bytes(MIDDLE)).status, 201)
        self.looked, is_over = [], threading.Event()
        looker = threading.Thread(target=self.keep_looking, args=(is_over,))
        looker.start()
        try:
            with contextlib.ExitStack() as stack:
                loads = {name: stack.enter_context(Load(self.server, name, *words)) for name, words in LOADS.items()}
                for name, load in loads.items():
                    with self.subTest(name):
                        code, told = load.report()
                        self.assertEqual((code, told["failures"]), (0, 0), told)
        finally:
            is_over.set()
            looker.join()
        self.assert_no_race()
        self.assertEqual(set(self.looked), {200})
        self.assert_all_is_whole()
        wait_until(lambda: self.server.kept() == [], "all that was left behind expires", seconds=60)
        self.assertEqual(self.server.temp_files(), [])
        self.server.terminate()
        code = self.server.wait()
        self.assert_no_race()
        self.assertEqual(code, 0, self.server.log[-20:])

    def assert_no_race(self):
        told = [number for number, line in enumerate(self.server.log) if "WARNING: ThreadSanitizer" in line]
        if told:
            self.fail("\n".join(self.server.log[told[0]:told[0] + REPORT_LINES]))

    def assert_all_is_whole(self):
        stored = self.server.stored()
        for name, size in STORED.items():
            said = subprocess.run([LOAD, "--print-sha256", "--size", str(size)], check=True, capture_output=True)
            names = [path for path in stored if re.fullmatch(rf"load-{name}-\d+\.bin", path)]
            self.assertEqual(len(names), REQUESTS, name)
            self.assertEqual({sha256(self.server.path(path)) for path in names}, {json.loads(said.stdout)["sha256"]})


faults.on_each_engine(globals(), Threads)

if __name__ == "__main__":
    unittest.main()
