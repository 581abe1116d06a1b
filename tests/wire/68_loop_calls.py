"""The event loop asks the disk for nothing: whatever is requested, no system call of its thread opens, reads, writes,
syncs or names anything below the root, but for those few that cannot wait. strace sees them all."""

import itertools
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import faults
import support
import tus
from support import Sluice, content, raw, wait_until
from tus import Tus

WAITS = ("epoll_wait(", "epoll_pwait(")
SMALL, LARGE = content(1000), content(6_000_001)
# Of files, by the loop: a flag of an open file, a lock that is tried or given back, what lies in memory already.
HARMLESS = re.compile(r"fcntl\(\S+, F_SETFL, |flock\(\S+, LOCK_(EX\|LOCK_NB|SH\|LOCK_NB|UN)|"
                      r"fadvise64\(.*POSIX_FADV_RANDOM|preadv2\(.*, RWF_NOWAIT\)|(cachestat|syscall_0x1c3)\(")
FORM = (b'--b\r\nContent-Disposition: form-data; name="f"; filename="one"\r\n\r\n%b\r\n'
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="two"\r\n\r\n%b\r\n--b--\r\n' % (SMALL, LARGE))


def why_not():
    if support.sanitizer():
        return "a sanitizer does not like to be traced"
    if not shutil.which("strace"):
        return "there is no strace"
    done = subprocess.run(["strace", "-f", "--seccomp-bpf", "-e", "trace=openat", "true"], capture_output=True,
                          text=True)
    return f"strace may not: {done.stderr}" if done.returncode else None


class LoopCalls:
    engine = None

    def setUp(self):
        reason = why_not()
        if reason:
            self.skipTest(reason)
        trace = self.enterContext(tempfile.NamedTemporaryFile(prefix="sluice-strace-"))
        self.trace = pathlib.Path(trace.name)
        words = ["strace", "-D", "-f", "-y", "--seccomp-bpf", "-s", "40", "-o", trace.name,
                 "-e", "trace=%file,%desc,epoll_wait,epoll_pwait"]
        self.server = self.enterContext(Sluice(
            wrapper=words, engine=self.engine, loops=1, conflict="overwrite", durability="full", upload_expiry=2,
            name="{filename}"))

    def calls(self):
        """Of the loop, which is who waits for events, from when it first does."""
        lines = [line.split(maxsplit=1) for line in self.trace.read_text(errors="replace").splitlines()]
        [loop] = {thread for thread, call in lines if call.startswith(WAITS)}
        calls = []
        for call in (call for thread, call in lines if thread == loop):
            if call.startswith("<... ") and calls:  # the rest of the last one
                calls[-1] = calls[-1].removesuffix("<unfinished ...>") + call.partition("resumed>")[2]
            else:
                calls.append(call)
        return list(itertools.dropwhile(lambda call: not call.startswith(WAITS), calls))

    def ask_for_everything(self):
        with raw(self.server) as client:
            for name, data in itertools.product(("a/b/new", "a/b/new", "other"), (b"", SMALL, LARGE)):
                self.assertIn(client.request("PUT", f"/files/{name}", data).status, (200, 201))
                self.assertEqual(client.request("GET", f"/files/{name}").body, data)
            self.assertEqual(client.request("GET", "/files/other", headers=["Range: bytes=9-99,2000-"]).status, 206)
            self.assertEqual(client.request("POST", "/?name=raw", SMALL).status, 201)
            lines = ["Content-Type: multipart/form-data; boundary=b"]
            self.assertEqual(client.request("POST", "/", FORM, lines).status, 201)
            for method, target, status in (("HEAD", "/files/two", 200), ("GET", "/files/", 200),
                                           ("GET", "/files/x", 404), ("DELETE", "/files/two", 204),
                                           ("DELETE", "/files/two", 404), ("GET", "/metrics", 200), ("GET", "/", 200)):
                self.assertEqual(client.request(method, target).status, status)
            client.send(b"PUT /broken HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n" + LARGE)
        with Tus(self.server) as client:
            target = client.made(len(LARGE), f"Upload-Metadata: {tus.metadata(filename='tus')}")
            for begin, end in ((0, 1000), (1000, 3_000_000), (3_000_000, len(LARGE))):
                self.assertEqual(client.patch(target, begin, LARGE[begin:end]).status, 204)
                self.assertEqual(client.offset(target), end)
            self.assertEqual(client.delete(target).status, 204)
            parts = [client.made(len(SMALL), "Upload-Concat: partial", body=SMALL) for _ in range(2)]
            self.assertEqual(client.create(None, f"Upload-Concat: final;{' '.join(parts)}").status, 201)
            client.made(len(SMALL))
        wait_until(lambda: self.server.kept() == [] and self.server.temp_files() == [], "what was left expires")

    def test_of_its_files_none_can_wait(self):
        self.ask_for_everything()
        self.server.stop()
        root, seen = str(self.server.root), self.calls()
        bad = [call for call in seen if root in call and not HARMLESS.match(call)]
        faults.note(f"{len(seen)} calls, {sum(root in call for call in seen)} of them on files")
        self.assertGreater(len(seen), 100)
        self.assertEqual(bad, [], "\n" + "\n".join(bad[:20]))


faults.on_each_engine(globals(), LoopCalls)

if __name__ == "__main__":
    unittest.main()
