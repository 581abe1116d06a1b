"""Names, and what comes back under them: no path leaves the store, no link is followed, and neither a name nor a type
becomes a header line."""

import os
import pathlib
import tempfile
import unicodedata
import unittest
import urllib.parse

import dialects
from support import Sluice, curl, listed, path_of, quoted, raw

BAD = ["..", "../x", "../../etc/passwd", "a/../b", "a/..", "./a", "a/./b", ".", "/a", "a//b", "a/", "//etc/passwd",
       "%2e%2e/x", ".%2e/x", "%2E%2E/%2E%2E/etc/passwd", "%2e", "a/%2e%2e/%2e%2e/x", "..%2f..%2fetc%2fpasswd", "a%2Fb",
       "%2fetc/passwd", "..%5c..%5cx", "a%5cb", "a\\b", "C:%5cx", "a%00b", "%00", "a%0ab", "a%0d%0aX-Evil:%201",
       "a%1bb", "a%7fb", "a%c2%85b", "%ff", "%c0%ae%c0%ae/x", "%c0%af", "%e0%80%af", "%ed%a0%80", "a%", "a%2", "a%zz",
       "%u002e%u002e/x", "x" * 256, "%C3%BC" * 128, "/".join(["x" * 255] * 4 + ["x"])]

NFC = unicodedata.normalize("NFC", "Ångström – é.txt")
NFD = unicodedata.normalize("NFD", NFC)

GOOD = [NFC, NFD, "😀👩‍👩‍👧.png", "日本語/写真.jpg", "שלום.txt", "x" * 255, "ü" * 127 + "x", "😀" * 63 + "xyz",
        "/".join(["z" * 255] * 3 + ["z" * 252 + "ü"]), "~", "-rf", "CON", "nul.txt", "C:x", ".htaccess", "...", "..a",
        "a b.txt", " ", "a+b", "100%", "%41", "a?b#c", "$(id)", "`id`;&|", "<img src=x onerror=alert(1)>", "'\"", "*",
        "a=b&c", "[1]", "@", "a:b", "\u202egpj.exe", "\ufeffbom", "e\u0301", "healthz", "done"]


class Paths(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice(durability="none"))

    def test_bad_paths_are_400_to_everybody(self):
        outside = sorted(self.server.root.iterdir())
        for path in BAD:
            for method in ("GET", "HEAD", "PUT", "DELETE"):
                with self.subTest(path[:40], method=method), raw(self.server) as client:
                    answer = client.request(method, "/files/" + path, b"x" if method == "PUT" else b"")
                    self.assertEqual(answer.status, 400)
                    if method != "HEAD":
                        self.assertEqual(answer.code, "bad-path")
        self.assertEqual(self.server.stored(), [])
        self.assertEqual(sorted(self.server.root.iterdir()), outside)

    def test_curl_cannot_be_made_to_leave_either(self):
        for words in (["--path-as-is", f"{self.server.url}/files/../../../etc/passwd"],
                      [f"{self.server.url}/files/%2e%2e/%2e%2e/etc/passwd"],
                      ["--path-as-is", f"{self.server.url}/../etc/passwd"]):
            with self.subTest(words):
                self.assertIn(curl(*words).status, (400, 404))
                self.assertIn(curl("-T", "-", *words, data=b"x").status, (400, 405))

    def test_good_names_are_kept_as_given(self):
        with raw(self.server) as client:
            for number, path in enumerate(GOOD):
                with self.subTest(path[:40]):
                    data = b"%d" % number
                    stored = client.request("PUT", quoted(path), data)
                    self.assertEqual(stored.status, 201, stored)
                    self.assertEqual(path_of(stored.headers["location"]), path)
                    self.assertEqual(client.request("GET", quoted(path)).body, data)
                    self.assertEqual((self.server.files / path).read_bytes(), data)
        names = [entry["name"] for entry in listed(self.server, limit=7)]
        self.assertEqual(names, sorted(GOOD, key=os.fsencode))
        self.assertNotEqual(NFC, NFD)
        with raw(self.server) as client:
            for path in GOOD:
                with self.subTest(path[:40]):
                    self.assertEqual(client.request("DELETE", quoted(path)).status, 204)
        self.assertEqual(self.server.stored(), [])


class Links(unittest.TestCase):
    """Somebody planted links in the store. Nothing behind them is read, written, removed or told."""

    def setUp(self):
        self.server = self.enterContext(Sluice(durability="none", conflict="overwrite"))
        self.outside = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-outside-")))
        self.secret = self.outside / "secret"
        self.secret.write_bytes(b"SECRET")
        self.server.path("real").write_bytes(b"real")
        (self.server.files / "folder").mkdir()
        self.server.path("folder/inner").write_bytes(b"inner")
        for name, target in (("file", self.secret), ("inside", "real"), ("dangling", self.outside / "nothing"),
                             ("loop", "loop"), ("out", self.outside), ("up", ".."), ("in", "folder"),
                             ("folder/back", "../real"), ("magic", "/proc/self/fd")):
            self.server.path(name).symlink_to(target)
        self.paths = ["file", "inside", "dangling", "loop", "out", "up", "in", "folder/back", "magic", "out/secret",
                      "out/new", "up/files/real", "up/new", "in/inner", "in/new", "loop/x", "magic/0", "dangling/x"]

    def test_every_method_refuses_them(self):
        before = {path: path.lstat() for path in self.server.root.rglob("*")}
        with raw(self.server) as client:
            for path in self.paths:
                for method in ("GET", "HEAD", "PUT", "DELETE"):
                    with self.subTest(path, method=method):
                        answer = client.request(method, quoted(path), b"evil" if method == "PUT" else b"")
                        self.assertIn(answer.status, (400, 404, 409), answer)
                        self.assertNotIn(b"SECRET", answer.body)
        after = {path: path.lstat() for path in self.server.root.rglob("*")}
        self.assertEqual({path: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in before.items()
                          if not path.is_dir()},
                         {path: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in after.items()
                          if not path.is_dir()})
        self.assertEqual((sorted(self.outside.iterdir()), self.secret.read_bytes()), ([self.secret], b"SECRET"))
        self.assertEqual(self.server.temp_files(), [])

    def test_lists_tell_no_links(self):
        self.assertEqual([entry["name"] for entry in listed(self.server)], ["folder/inner", "real"])
        for prefix in ("out/", "in/", "up/", "loop/", "file"):
            with self.subTest(prefix):
                self.assertEqual(listed(self.server, prefix=prefix), [])


EVIL_NAMES = ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\r\n\r\n<script>alert(1)</script>", 'a"; filename="b', "a\\", "a;b",
              "a\u2028b", "a\x0bb", "\u202egpj.exe", "ü\r\n.txt", "<img src=x onerror=alert(1)>", "../../etc/passwd"]


class Injection(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice(durability="none"))

    def assert_no_evil_line(self, target):
        """Each line of the head is one that we meant; the evil name is inside a value at most."""
        with raw(self.server) as client:
            client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            answer = client.answer()
            self.assertEqual(answer.status, 200)
            self.assertNotIn("x-evil", answer.headers)
            for name, value in answer.headers.items():
                self.assertTrue(value.isascii() and value.isprintable(), (name, value))
            self.assertEqual(client.request("GET", "/healthz").status, 200)  # the answer ended where it said
        return answer

    def test_names_of_every_way(self):
        boundary = b"--b\r\nContent-Disposition: form-data; name=f; "
        for name in EVIL_NAMES:
            percent = urllib.parse.quote(name, safe="")
            star = f"filename*=UTF-8''{percent}"
            plain = 'filename="%s"' % name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
            for way, target, lines, body in (
                ("query", f"/files/?name={percent}", ["Content-Type: a/b"], b"x"),
                ("star", "/files/", ["Content-Type: a/b", f"Content-Disposition: attachment; {star}"], b"x"),
                *(("form", "/", ["Content-Type: multipart/form-data; boundary=b"],
                   boundary + words.encode() + b"\r\n\r\nx\r\n--b--\r\n") for words in (star, plain)),
            ):
                with self.subTest(name, way=way), raw(self.server) as client:
                    answer = client.request("POST", target, body, lines)
                    self.assertNotIn("x-evil", answer.headers)
                    if answer.status == 201:
                        self.assert_no_evil_line("/files/" + urllib.parse.quote(path_of(answer.headers["location"])))
                    else:
                        self.assertEqual(answer.status, 400, answer)

    def test_name_given_to_a_put(self):
        for number, name in enumerate(EVIL_NAMES):
            star = f"Content-Disposition: attachment; filename*=UTF-8''{urllib.parse.quote(name, safe='')}"
            with self.subTest(name), raw(self.server) as client:
                answer = client.request("PUT", f"/put/{number}", b"x", [star])
                self.assertIn(answer.status, (201, 400))
                if answer.status == 201:
                    self.assert_no_evil_line(f"/files/put/{number}")

    @dialects.only("h1", "h1-tls")  # HTTP/2 resets a stream with such fields
    def test_types(self):
        for number, kind in enumerate((b"text/plain; x=\"a\x0bb\"", b"text/html\tx", b"text/\xe9", b"a" * 300 + b"/b",
                                       b"text/plain;charset=\"\xff\"", b"nonsense", b"/", b"a/b;", b"text/plain\x7f")):
            form = (b"--b\r\nContent-Disposition: form-data; name=f; filename=a\r\n"
                    b"Content-Type: %s\r\n\r\nx\r\n--b--\r\n" % kind)
            for way, message in (
                ("put", b"PUT /type/%d HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: 1\r\n\r\nx"
                 % (number, kind)),
                ("form", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n"
                         b"Content-Length: %d\r\n\r\n%s" % (len(form), form)),
            ):
                with self.subTest(kind, way=way), raw(self.server) as client:
                    answer = client.send(message).answer()
                    self.assertIn(answer.status, (201, 400, 413))
                    if answer.status == 201:
                        self.assert_no_evil_line(quoted(path_of(answer.headers["location"])))


if __name__ == "__main__":
    unittest.main()
