"""Every kind of refusal, and three servers that refuse so."""

import pathlib
import tempfile
import urllib.parse

from support import Sluice

MIB = 1 << 20
SIZES = (1 * MIB, 200 * MIB)
MAX_SIZE = "500k"

# code: status, method, target, headers. Sent with a body to a server that has the file "there" and the folder "folder",
# takes MAX_SIZE, and lets nobody overwrite.
REFUSALS = {
    "exists": (409, "PUT", "/files/there", {}),
    "not-a-directory": (409, "PUT", "/files/there/below", {}),
    "is-a-directory": (409, "PUT", "/files/folder", {}),
    "precondition-failed": (412, "PUT", "/files/there", {"If-None-Match": "*"}),
    "too-large": (413, "PUT", "/files/new", {}),
    "bad-path": (400, "PUT", "/files/a%5Cb", {}),
    "bad-digest": (400, "PUT", "/files/new", {"Content-MD5": "garbage"}),
    "unsupported-digest": (400, "PUT", "/files/new", {"Content-Digest": "sha3-256=:AAAA:"}),
    "conflict-not-allowed": (403, "PUT", "/files/there?conflict=overwrite", {}),
    "bad-query": (400, "PUT", "/files/new?conflict=maybe", {}),
    "content-range": (400, "PUT", "/files/new", {"Content-Range": "bytes 0-9/10"}),
    "method-not-allowed": (405, "PUT", "/healthz", {}),
    "bad-content-type": (400, "POST", "/files/", {"Content-Type": "multipart/form-data"}),
    "bad-form": (400, "POST", "/files/", {"Content-Type": "multipart/form-data; boundary=b"}),
    "head-too-large": (431, "PUT", "/files/new", {"X-Large": "x" * 20_000}),
    "uri-too-long": (414, "PUT", "/files/" + "x" * 9000, {}),
}


class Servers:
    """To be mixed into a test case."""

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-wire-")))
        self.large = self.enterContext(Sluice(durability="none", max_size="1G"))
        self.small = self.enterContext(Sluice(durability="none", max_size=MAX_SIZE))
        self.full = self.enterContext(Sluice(durability="none", min_free="1000T"))
        for server in (self.large, self.small):
            server.path("there").write_bytes(b"old")
            (server.files / "folder").mkdir()

    def rows(self):
        """server, code, status, method, target, headers"""
        for code, row in REFUSALS.items():
            yield self.small if code == "too-large" else self.large, code, *row
        yield self.full, "no-space", 507, "PUT", "/files/new", {}
        yield self.full, "no-space", 507, "POST", "/files/", {"Content-Type": "a/b"}

    def assert_told(self, problem, code, status):
        self.assertEqual((problem["code"], problem["status"]), (code, status), problem)
        self.assertEqual(urllib.parse.urlsplit(problem["type"]).fragment, code)

    def assert_untouched(self):
        for server in (self.large, self.small):
            self.assertEqual(server.stored(), ["there"])
            self.assertEqual(server.path("there").read_bytes(), b"old")
        self.assertEqual(self.full.stored(), [])
        for server in (self.large, self.small, self.full):
            self.assertEqual(server.temp_files(), [])
