"""PUT and raw POST: every way in, every size around a buffer's edge, both engines, every durability; names, links."""

import base64
import hashlib
import itertools
import os
import pathlib
import re
import tempfile
import unittest
import urllib.parse

from support import ORIGIN, Sluice, content, curl, free_bytes, raw, sha256, sha256_of

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
ENGINES = ("io_uring", "threads")
SIZES = (0, 1, 4 * KIB - 1, 4 * KIB, 4 * KIB + 1, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, MIB - 1, MIB, MIB + 1, 5 * MIB)
PATH_MAX = "/".join(["d" * 204] * 5)  # 1024 bytes
BOUNDARY = "raw-test-boundary"


def chunked(data, piece=70_000):
    pieces = [data[at:at + piece] for at in range(0, len(data), piece)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])


def message(line, headers, body):
    return "\r\n".join([f"{line} HTTP/1.1", "Host: wire.test", *headers]).encode() + b"\r\n\r\n" + body


def put_known(name, data):
    return message(f"PUT /{name}", ["Accept: application/json", f"Content-Length: {len(data)}"], data)


def put_chunked(name, data):
    return message(f"PUT /{name}", ["Accept: application/json", "Transfer-Encoding: chunked"], chunked(data))


def post_raw(name, data):
    return message(f"POST /?name={name}", [f"Content-Length: {len(data)}", "Content-Type: a/b"], data)


def post_form(name, data):
    body = (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n\r\n'.encode() + data
            + f"\r\n--{BOUNDARY}--\r\n".encode())
    return message("POST /", [f"Content-Length: {len(body)}",
                              f"Content-Type: multipart/form-data; boundary={BOUNDARY}"], body)


WAYS = (put_known, put_chunked, post_form, post_raw)


def target_of(url):
    return urllib.parse.urlsplit(url).path


class Matrix(unittest.TestCase):
    def test_every_way_size_engine_and_durability_keeps_the_content(self):
        samples = {size: content(size) for size in SIZES}
        for engine, durability in itertools.product(ENGINES, ("full", "data", "none")):
            with Sluice(engine=engine, durability=durability) as server, raw(server) as client:
                self.assertTrue(server.said("engine").startswith(engine))
                for way, (size, data) in itertools.product(WAYS, samples.items()):
                    with self.subTest(engine=engine, durability=durability, way=way.__name__, size=size):
                        self.check(server, client, way(f"{way.__name__}-{size}.bin", data), data)

    def check(self, server, client, request, data):
        answer = client.send(request).answer()
        self.assertEqual(answer.status, 201, answer)
        told = answer.json()
        path = target_of(told["url"])
        self.assertEqual((told["size"], told["sha256"]), (len(data), sha256_of(data)))
        self.assertEqual(base64.b64decode(told["digest"]["sha-256"]).hex(), told["sha256"])
        self.assertEqual(server.path(path.removeprefix("/files/")).read_bytes(), data)
        self.assertEqual(client.request("GET", path).body, data)

    def test_curl_from_a_pipe(self):
        data = content(3 * MIB + 5)
        with Sluice() as server:
            answer = curl("-T", "-", f"{server.url}/piped", data=data)
            self.assertEqual((answer.status, sha256(server.path("piped"))), (201, sha256_of(data)))


class Large(unittest.TestCase):
    def test_a_sparse_file_of_5_gib(self):
        here = pathlib.Path(tempfile.gettempdir())
        if free_bytes(here) < 12 * GIB:
            self.skipTest("less than 12 GiB free")
        crcs = set()
        with tempfile.TemporaryFile() as sparse:
            size = 5 * GIB + 12_345
            marks = {0: b"begin", GIB - 3: b"across", 4 * GIB - 2: b"2^32", size - 4: b"done"}
            for at, mark in marks.items():
                os.pwrite(sparse.fileno(), mark, at)
            for engine in ENGINES:
                with self.subTest(engine), Sluice(engine=engine, durability="none", digest="crc32c") as server:
                    answer = curl("-H", "Accept: application/json", "-T", f"/proc/{os.getpid()}/fd/{sparse.fileno()}",
                                  f"{server.url}/big", seconds=250)
                    self.assertEqual(answer.status, 201, answer)
                    self.assertEqual(answer.json()["size"], size)
                    crcs.add(answer.json()["digest"]["crc32c"])
                    with open(server.path("big"), "rb") as stored:
                        self.assertEqual(os.fstat(stored.fileno()).st_size, size)
                        self.assertTrue(is_zero_but(stored, size, marks))
                    server.path("big").unlink()
        self.assertEqual(len(crcs), 1)


class PageCache(unittest.TestCase):
    """Large uploads where O_DIRECT is not wanted, or not to be had."""

    REFUSED = [str(pathlib.Path(__file__).with_name("no_direct.py"))]
    SIZES = (4 * MIB + 1,)

    def test_not_wanted(self):
        self.check("page cache", direct="off")

    def test_refused_by_the_file_system(self):
        self.check("no O_DIRECT here", wrapper=self.REFUSED)

    def check(self, words, **options):
        samples = {size: content(size, seed=size) for size in self.SIZES}
        for engine in ENGINES:
            with Sluice(engine=engine, durability="none", name="{filename}", **options) as server:
                self.assertIn(words, server.said("root"))
                for way, (size, data) in itertools.product(WAYS, samples.items()):
                    name = f"{way.__name__}-{size}"
                    with self.subTest(engine=engine, name=name), raw(server) as client:
                        answer = client.send(way(name, data)).answer()
                        self.assertEqual(answer.status, 201, answer)
                        self.assertEqual(sha256(server.path(name)), sha256_of(data))
                        self.assertEqual(answer.json()["sha256"], sha256_of(data))
                        self.assertEqual(sha256_of(client.request("GET", f"/files/{name}").body), sha256_of(data))
                self.assertEqual(len(server.stored()), len(WAYS) * len(samples))


def is_zero_but(file, size, marks):
    """Holds it zeros everywhere but for the marks? Compared piece by piece: a digest of 5 GiB costs 20 s."""
    piece_bytes = 8 * MIB
    zeros = bytes(piece_bytes)
    for at in range(0, size, piece_bytes):
        piece = file.read(piece_bytes)
        wanted = zeros[:len(piece)]
        inside = {start: mark for start, mark in marks.items() if start < at + piece_bytes and start + len(mark) > at}
        if inside:
            wanted = bytearray(wanted)
            for start, mark in inside.items():
                for offset, byte in enumerate(mark, start - at):
                    if 0 <= offset < len(wanted):
                        wanted[offset] = byte
        if piece != wanted:
            return False
    return file.read(1) == b""


class Digests(unittest.TestCase):
    def test_none(self):
        with Sluice(digest="none") as server, raw(server) as client:
            for size in (0, 5, 2 * MIB):
                told = client.send(put_known(f"{size}", content(size))).answer().json()
                self.assertNotIn("sha256", told)
                self.assertEqual(told["digest"], {})
                self.assertEqual(server.path(f"{size}").read_bytes(), content(size))

    def test_several(self):
        with Sluice(digest=["sha-512,md5", "sha", "sha-256"]) as server, raw(server) as client:
            for size in (0, 5, 16 * KIB, 3 * MIB + 1):
                with self.subTest(size):
                    data = content(size)
                    told = client.send(put_known(f"{size}", data)).answer().json()
                    self.assertEqual({name: base64.b64decode(value) for name, value in told["digest"].items()}, {
                        "sha-512": hashlib.sha512(data).digest(), "md5": hashlib.md5(data).digest(),
                        "sha": hashlib.sha1(data).digest(), "sha-256": hashlib.sha256(data).digest()})

    def test_crc32c(self):
        with Sluice(digest="crc32c") as server, raw(server) as client:
            told = client.send(put_known("check", b"123456789")).answer().json()
            self.assertEqual(base64.b64decode(told["digest"]["crc32c"]).hex(), "e3069283")


class Paths(unittest.TestCase):
    GOOD = {
        "a": "a", "a/b/c.txt": "a/b/c.txt", "with%20blank": "with blank", "plus+plus": "plus+plus", "%41": "A",
        "%E6%97%A5%E6%9C%AC": "日本", "%F0%9F%98%80.png": "😀.png", "...": "...", "..a": "..a",
        ".hidden": ".hidden",
        "a%3Fb": "a?b", "a%23b": "a#b", "100%25": "100%", "<img%20src=x>": "<img src=x>",
        "$(id)": "$(id)", "-rf": "-rf", "~": "~", "CON": "CON", "a:b": "a:b", "%22": '"', "a;b": "a;b",
        "x" * 255: "x" * 255, "%C3%A9" * 127: "é" * 127, PATH_MAX: PATH_MAX,
        "e%CC%81": "e\u0301", "%E2%80%8F": "\u200f", "a.txt%20": "a.txt ",
    }
    BAD = (
        "a//b", "/a", "a/", ".", "..", "a/.", "a/..", "a/../b", "./a", "../a", "%2e%2e/a", "a/%2E%2E/b", "a/%2e", "%2e",
        ".%2e/a", "a%2Fb", "..%2fa", "%2fetc%2fpasswd", "a%00b", "%00", "a%5Cb", "a\\b", "a%0Ab", "a%0Db", "a%09b",
        "a%1Fb", "a%7Fb", "a%C2%80b", "a%C2%9Fb", "%", "%4", "%zz", "a%4gb", "%ff", "%C0%AF", "%ED%A0%80",
        "%F4%90%80%80", "%C3", "x" * 256, "%C3%A9" * 128, PATH_MAX + "e", "a/" * 600 + "a", "..%00",
    )

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice(durability="none"))
        cls.client = cls.enterClassContext(raw(cls.server))

    def test_good_paths_are_stored_where_their_url_shows(self):
        for number, (target, path) in enumerate(self.GOOD.items()):
            for base in ("/", "/files/"):
                with self.subTest(target[:60], base=base):
                    data = f"{number}".encode()
                    answer = self.client.request("PUT", base + target, data)
                    self.assertEqual(answer.status, 201, answer)
                    self.assertEqual(self.server.path(path).read_bytes(), data)
                    url = answer.headers["location"]
                    self.assertRegex(url, rf"\A{ORIGIN}/files/[!-~]+\Z")
                    self.assertNotRegex(url, r'[<>"\\]')
                    self.assertEqual(self.client.request("GET", target_of_raw(url)).body, data)
                    self.server.path(path).unlink()

    def test_bad_paths_are_400_and_touch_nothing(self):
        before = sorted(self.server.root.rglob("*"))
        for target in self.BAD:
            for method, base in itertools.product(("PUT", "GET", "HEAD"), ("/", "/files/")):
                if method != "PUT" and base == "/":
                    continue  # there is no such place, whatever the path
                with self.subTest(target[:60], method=method, base=base):
                    answer = self.client.request(method, base + target, b"x" if method == "PUT" else b"")
                    self.assertEqual(answer.status, 400, answer)
                    if method != "HEAD":
                        self.assertEqual(answer.code, "bad-path")
        self.assertEqual(sorted(self.server.root.rglob("*")), before)

    def test_the_servers_own_paths_are_405_however_they_are_written(self):
        for target in ("/uploads/x", "/healthz", "/%68ealthz", "/done", "/metrics", "/readyz", "/files/"):
            with self.subTest(target):
                answer = self.client.request("PUT", target, b"x")
                self.assertEqual((answer.status, answer.code), (405, "method-not-allowed"))

    def test_below_files_every_name_is_free(self):
        for name in ("healthz", "uploads/x", "files/x", "done"):
            with self.subTest(name):
                self.assertEqual(self.client.request("PUT", f"/files/{name}", name.encode()).status, 201)
                self.assertEqual(self.client.request("GET", f"/files/{name}").body, name.encode())

    def test_a_file_in_the_way_of_a_folder_and_a_folder_in_the_way_of_a_file(self):
        self.assertEqual(self.client.request("PUT", "/way/file", b"x").status, 201)
        for target, code in (("/way/file/below", "not-a-directory"), ("/way", "is-a-directory")):
            with self.subTest(target):
                answer = self.client.request("PUT", target, b"x")
                self.assertEqual(answer.status, 409)
                self.assertIn(answer.code, (code, "exists"))
        self.assertEqual(self.client.request("GET", "/files/way").status, 404)


def target_of_raw(url):
    """The path of a URL as it is written."""
    return re.sub(r"\Ahttps?://[^/]+", "", url)


class Conflicts(unittest.TestCase):
    def put(self, client, target, data, *headers):
        return client.request("PUT", target, data, headers)

    def test_error(self):
        with Sluice() as server, raw(server) as client:
            self.assertEqual(self.put(client, "/a", b"one").status, 201)
            answer = self.put(client, "/a", b"two")
            self.assertEqual((answer.status, answer.code), (409, "exists"))
            self.assertEqual(server.path("a").read_bytes(), b"one")

    def test_rename(self):
        with Sluice(conflict="rename") as server, raw(server) as client:
            for data, path in ((b"one", "d.d/a.txt"), (b"two", "d.d/a-1.txt"), (b"three", "d.d/a-2.txt")):
                answer = self.put(client, "/d.d/a.txt", data)
                self.assertEqual((answer.status, answer.headers["location"]), (201, f"{ORIGIN}/files/{path}"))
                self.assertEqual(server.path(path).read_bytes(), data)
            for path in ("plain", "plain-1"):
                self.assertTrue(self.put(client, "/plain", b"x").headers["location"].endswith(f"/files/{path}"))

    def test_overwrite(self):
        with Sluice(conflict="overwrite") as server, raw(server) as client:
            self.assertEqual(self.put(client, "/a", b"the first").status, 201)
            answer = self.put(client, "/a", b"two")
            self.assertEqual((answer.status, answer.headers["location"]), (200, f"{ORIGIN}/files/a"))
            self.assertEqual(client.request("GET", "/files/a").body, b"two")
            self.assertEqual(server.stored(), ["a"])

    def test_if_none_match_wins_over_the_rule(self):
        for rule in ("error", "rename", "overwrite"):
            with self.subTest(rule), Sluice(conflict=rule) as server, raw(server) as client:
                self.assertEqual(self.put(client, "/a", b"one", "If-None-Match: *").status, 201)
                answer = self.put(client, "/a", b"two", "If-None-Match: *")
                self.assertEqual((answer.status, answer.code), (412, "precondition-failed"))
                self.assertEqual((server.stored(), server.path("a").read_bytes()), (["a"], b"one"))

    def test_two_at_once_for_one_name_give_one_winner(self):
        data = [content(300_000, seed) for seed in (1, 2)]
        with Sluice() as server, raw(server) as first, raw(server) as second:
            clients = (first, second)
            for client, body in zip(clients, data):  # both are looked up before either is complete
                client.send(message("PUT /a", [f"Content-Length: {len(body)}", "Expect: 100-continue"], b""))
                self.assertEqual(client.answer().status, 100)
            answers = [client.send(body).answer() for client, body in zip(clients, data)]
            self.assertEqual([answer.status for answer in answers], [201, 409])
            self.assertEqual(server.path("a").read_bytes(), data[0])

    def test_content_range_is_refused(self):
        with Sluice() as server, raw(server) as client:
            for method, target in (("PUT", "/a"), ("POST", "/")):
                answer = client.request(method, target, b"tail", ["Content-Range: bytes 5-8/9"])
                self.assertEqual((answer.status, answer.code), (400, "content-range"))
            self.assertEqual(server.stored(), [])
            sample = server.root / "sample"
            sample.write_bytes(content(1000))
            answer = curl("-C", "500", "-T", sample, f"{server.url}/resumed")
            self.assertEqual((answer.status, answer.code), (400, "content-range"))


class Names(unittest.TestCase):
    def test_raw_post_takes_its_name_from_the_query_or_the_disposition(self):
        with Sluice() as server, raw(server) as client:
            for target, headers, name in (
                ("/?name=photo.jpg", [], "photo.jpg"), ("/files/?name=a%20b%2Bc+d.txt", [], "a b+c d.txt"),
                ("/?name=%E6%97%A5", [], "日"), ("/?x=y&name=z", [], "z"),
                ("/", ['Content-Disposition: attachment; filename="q.bin"'], "q.bin"),
                ("/", ["Content-Disposition: attachment; filename*=UTF-8''%e2%82%ac"], "€"),
                ("/?name=query", ['Content-Disposition: attachment; filename="q.bin"'], "query"),
            ):
                with self.subTest(target, headers=headers):
                    answer = client.request("POST", target, b"data", headers)
                    self.assertEqual((answer.status, answer.json()["name"]), (201, name))
                    path = urllib.parse.unquote(target_of_raw(answer.json()["url"]).removeprefix("/files/"))
                    self.assertTrue(path.endswith(f"-{name}"), path)
                    self.assertEqual(server.path(path).read_bytes(), b"data")
            self.assertEqual(client.request("POST", "/", b"data").status, 201)
            for target, headers in (("/?name=%zz", []), ("/?name=a&name=b", []), ("/?name=a%00", []),
                                    ("/", ['Content-Disposition: attachment; filename="x'])):
                with self.subTest(target, headers=headers):
                    self.assertEqual(client.request("POST", target, b"data", headers).status, 400)

    def test_text_for_those_who_ask(self):
        with Sluice() as server, raw(server) as client:
            answer = client.request("POST", "/?name=a", b"x", ["Accept: text/plain"])
            self.assertEqual(answer.text, answer.headers["location"] + "\n")

    def test_template(self):
        with Sluice(name="in/{filename}", conflict="rename") as server, raw(server) as client:
            for path in ("in/a.txt", "in/a-1.txt"):
                answer = client.request("POST", "/?name=..%2F..%2Fa.txt", b"x")
                self.assertEqual(answer.headers["location"], f"{ORIGIN}/files/{path}")
            self.assertEqual(server.stored(), ["in/a-1.txt", "in/a.txt"])

    def test_public_url(self):
        with Sluice(public_url="https://files.example.org/up") as server, raw(server) as client:
            answer = client.request("PUT", "/a", b"x")
            self.assertEqual(answer.headers["location"], "https://files.example.org/up/files/a")
            self.assertEqual(client.request("POST", "/?name=b", b"x").json()["url"][:34],
                             "https://files.example.org/up/files")

    def test_base_path(self):
        with Sluice(base_path="/store/here/") as server, raw(server) as client:
            for target in ("/a", "/store/here/b"):
                answer = client.request("PUT", target, b"x")
                self.assertEqual(answer.headers["location"], f"{ORIGIN}/store/here/{target[-1]}")
                self.assertEqual(client.request("GET", f"/store/here/{target[-1]}").body, b"x")
            self.assertEqual(client.request("GET", "/files/a").status, 404)
            self.assertEqual(client.request("POST", "/store/here/?name=c", b"x").status, 201)


class Links(unittest.TestCase):
    """Somebody planted symbolic links below the root. Nothing is read or written through them."""

    def test_links_are_refused_and_not_followed(self):
        for engine, rule in itertools.product(ENGINES, ("error", "rename", "overwrite")):
            with self.subTest(engine=engine, rule=rule), tempfile.TemporaryDirectory(prefix="sluice-wire-") as outside:
                self.plant_and_check(pathlib.Path(outside), engine, rule)

    def plant_and_check(self, outside, engine, rule):
        secret = outside / "secret"
        secret.write_bytes(b"secret")
        with Sluice(engine=engine, conflict=rule) as server, raw(server) as client:
            server.path("folder").symlink_to(outside)
            server.path("file").symlink_to(secret)
            server.path("dangling").symlink_to(outside / "made")
            server.path("loop").symlink_to("loop")
            server.path("inside").mkdir()
            server.path("inside/real").write_bytes(b"real")
            server.path("alias").symlink_to("inside")
            for target in ("folder/secret", "file", "dangling", "loop", "alias/real", "folder"):
                self.assertEqual(client.request("GET", f"/files/{target}").status, 404, target)
            for target in ("folder/new", "folder/secret", "alias/new", "folder/deeper/new", "loop/new", "file/new"):
                answer = client.request("PUT", f"/{target}", b"evil")
                self.assertIn(answer.status, (400, 409), (target, answer))
            for target in ("file", "dangling", "folder", "loop"):
                answer = client.request("PUT", f"/{target}", b"evil")
                self.assertIn(answer.status, (201,) if rule == "rename" else (400, 409), (target, answer))
            self.assertEqual([path.name for path in outside.iterdir()], ["secret"])
            self.assertEqual(secret.read_bytes(), b"secret")
            self.assertEqual([path.name for path in server.path("inside").iterdir()], ["real"])
            for name in ("folder", "file", "dangling", "loop", "alias"):
                self.assertTrue(server.path(name).is_symlink())


if __name__ == "__main__":
    unittest.main()
