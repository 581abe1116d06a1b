"""Lists: every name once, in the order of its bytes, a page at a time, whatever happens meanwhile; in little memory."""

import datetime
import json
import os
import pathlib
import tempfile
import unittest
import urllib.parse

import dialects
import faults
import support
from support import Sluice, base64_of, digest, etag_of, listed, pages_of, raw
from uploaders import Uploaders

MANY = 10_000 if faults.is_sanitized() else 100_000
MEMORY_MIB = 24
LINKS_MAX = 20_000  # names of one file: less than ext4 grants

# Of which the order is not that of the folders: "a.txt" < "a/b" < "a0", since "." < "/" < "0".
TREE = sorted(["a-", "a.txt", "a/b.c", "a/b/c", "a/b/d/e", "a0", "b/x/1", "b/x/10", "b/x/2", "b/y", "Z", "é", "z", "ｚ",
               "😀", "\ue000", "b x", "b%20x", "%", "~"], key=str.encode)


class Case(unittest.TestCase):
    def ask(self, query="", method="GET"):
        with raw(self.server) as client:
            return client.request(method, "/files/" + query)


class Small(Case):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice(durability="none"))
        with raw(cls.server) as client:
            for name in TREE:
                assert client.request("PUT", support.quoted(name), name.encode()).status == 201, name
        (cls.server.files / "empty/folder").mkdir(parents=True)

    def names(self, **query):
        return [entry["name"] for entry in listed(self.server, **query)]

    def test_all_in_the_order_of_bytes(self):
        for limit in (1, 2, 3, 7, 1000):
            with self.subTest(limit):
                self.assertEqual(self.names(limit=limit), TREE)
                pages = list(pages_of(self.server, limit=limit))
                self.assertTrue(all(len(page) <= limit for page in pages))
                self.assertTrue(all(len(page) == limit for page in pages[:-1]))
        self.assertEqual(self.names(), TREE)

    def test_prefixes(self):
        for prefix in ("a", "a/", "a/b", "a/b/", "b/x/1", "b", "é", "\ue000", "nothing", "empty/", "z/", "%", "b ",
                       "Zz", "a/b/c", "a//b", "..", "../", "/", "x" * 1024):
            with self.subTest(prefix):
                self.assertEqual(self.names(prefix=prefix, limit=2), [name for name in TREE if name.startswith(prefix)])

    def test_after(self):
        for after in [*TREE, "", "0", "a", "a/", "a/b", "a/b/", "b/x", "b/x/", "b/x/11", "zz", "\U0010ffff", "../x",
                      "/", "nothing/there"]:
            with self.subTest(after):
                wanted = [name for name in TREE if name.encode() > after.encode()]
                self.assertEqual(self.names(after=after), wanted)
                self.assertEqual(self.names(after=after, prefix="b", limit=1),
                                 [name for name in wanted if name.startswith("b")])

    def test_an_entry_tells_what_the_file_does(self):
        for entry in listed(self.server):
            data = entry["name"].encode()
            with raw(self.server) as client:
                answer = client.request("GET", urllib.parse.urlsplit(entry["url"]).path)
            self.assertEqual((answer.body, entry["size"]), (data, len(data)))
            self.assertEqual(f'"{entry["etag"]}"', answer.headers["etag"])
            self.assertEqual((f'"{entry["etag"]}"', entry["type"]), (etag_of(data), answer.headers["content-type"]))
            self.assertEqual(entry["digest"], {"sha-256": base64_of(digest("sha-256", data))})
            self.assertEqual(entry["url"], support.ORIGIN + support.quoted(entry["name"]))
            for key in ("modified", "created"):
                self.assertIsNotNone(datetime.datetime.fromisoformat(entry[key]).tzinfo)
            self.assertNotIn("fields", entry)

    def test_a_page_is_json_and_a_head_has_no_body(self):
        answer = self.ask("?limit=1")
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        self.assertEqual((len(answer.json()["files"]), answer.json()["next"]), (1, TREE[0]))
        self.assertEqual(self.ask("?limit=1", method="HEAD").status, 200)

    @dialects.only("h1", "h1-tls")
    def test_a_page_in_http_1_0_ends_with_the_connection(self):
        with raw(self.server) as client:
            client.send(b"GET /files/ HTTP/1.0\r\n\r\n")
            status, headers = client.head()
            self.assertEqual((status, headers.get("transfer-encoding")), (200, None))
            self.assertEqual([entry["name"] for entry in json.loads(client.rest())["files"]], TREE)

    def test_the_end_is_told_at_the_end(self):
        page = self.ask(f"?limit={len(TREE)}").json()
        self.assertEqual((len(page["files"]), page["next"]), (len(TREE), None))
        page = self.ask("?after=%F4%8F%BF%BF").json()
        self.assertEqual(page, {"files": [], "next": None})

    def test_bad_queries(self):
        for query in ("limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1x", "limit=1.0", "limit=1&limit=2",
                      "limit=99999999999999999999", "prefix=%zz", "prefix=%ff", "prefix=%00", "after=%0a", "after=%",
                      "prefix=a&prefix=b", "prefix=" + "x" * 1025, "after=" + "x" * 1025):
            with self.subTest(query[:40]):
                answer = self.ask("?" + query)
                self.assertEqual((answer.status, answer.code), (400, "bad-query"), answer)
        self.assertEqual(self.ask("?unknown=1&limit=1").status, 200)


class Many(unittest.TestCase):
    """A hundred thousand files, most in one folder, of which none is told twice or left out while uploads go on."""

    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="sluice-many-")))
        cls.names = sorted([f"big/{number:06}.bin" for number in range(MANY * 7 // 10)]
                           + [f"old/{number % 50:02}/{number:06}" for number in range(MANY * 3 // 10)])
        for folder in {name.rpartition("/")[0] for name in cls.names}:
            (cls.root / "files" / folder).mkdir(parents=True)
        files = os.open(cls.root / "files", os.O_RDONLY)
        for at, name in enumerate(cls.names):
            if at % LINKS_MAX == 0:
                os.mknod(name, dir_fd=files)
            else:  # ten times as fast
                os.link(cls.names[at - at % LINKS_MAX], name, src_dir_fd=files, dst_dir_fd=files)
        os.close(files)

    def servers(self):
        for engine in faults.ENGINES:
            with self.subTest(engine), Sluice(root=self.root, durability="none", engine=engine) as server:
                yield server

    def test_page_by_page_while_uploads_go_on(self):
        for number, server in enumerate(self.servers()):
            self.check_pages(server, seed=1 + number * 1_000_000)

    def check_pages(self, server, seed):
        before, _ = support.rss_mib(server.pid)
        with Uploaders(server, seed=seed, count=2, sizes=(1, 4096, 65_537)) as clients:
            clients.wait_for_acks(20)
            acked = dict(clients.acked)
            told = [entry["name"] for page in pages_of(server) for entry in page]
            clients.wait_for_acks(clients.acks + 1)
        self.assertEqual(told, sorted(told, key=str.encode), "not in order")
        self.assertEqual(len(told), len(set(told)), "a name was told twice")
        self.assertEqual(set(self.names) - set(told), set(), "a name was left out")
        self.assertEqual(set(acked) - set(told), set(), "an upload that was there before was left out")
        self.assertEqual(set(told) - set(self.names) - set(server.stored()), set(), "a name that is none")
        now, peak = support.rss_mib(server.pid)
        faults.note(f"{len(told)} names; memory {before:.0f}, now {now:.0f}, peak {peak:.0f} MiB")
        if not faults.is_sanitized():
            self.assertLess(peak - before, MEMORY_MIB)

    def test_readers_who_leave_in_the_middle_of_a_page(self):
        for server in self.servers():
            idle = support.fds(server.pid)
            for _ in range(50):
                client = raw(server).send(b"GET /files/?prefix=big/ HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertEqual(client.head()[0], 200)
                client.reset()
            support.wait_until(lambda: support.fds(server.pid) <= idle, "their descriptors")


if __name__ == "__main__":
    unittest.main()
