"""Pages of other origins: they may do what --cors-origin lets them, and without it they may do nothing."""

import json
import unittest

import webdriver
from support import Site, Sluice, content, raw

HERE, THERE = "https://app.example", "http://localhost:3000"
FOREIGN = ("https://evil.example", "https://app.example.evil.example", "https://app.example:444", "http://app.example",
           "https://APP.example2", "null", "https://app.exampl", "app.example", "https://app.example https://x.example")
METHODS = {"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"}
REQUEST_HEADERS = {"authorization", "content-type", "content-disposition", "content-digest", "repr-digest",
                   "want-repr-digest", "content-md5", "if-match", "if-none-match", "range", "x-request-id",
                   "x-file-hash", "upload-offset", "upload-length", "upload-metadata", "upload-complete",
                   "upload-checksum", "tus-resumable", "x-http-method-override"}
EXPOSED = {"etag", "location", "content-range", "accept-ranges", "content-disposition", "repr-digest", "x-request-id",
           "upload-offset", "upload-length", "upload-complete", "upload-expires", "upload-metadata", "upload-limit",
           "tus-resumable", "tus-version", "tus-extension", "tus-max-size", "tus-checksum-algorithm", "allow"}


def words(value):
    return {word.strip().lower() for word in value.split(",")}


class Case(unittest.TestCase):
    def ask(self, server, method, target, *lines, origin=HERE, body=b""):
        with raw(server) as client:
            return client.request(method, target, body, [*lines, *([f"Origin: {origin}"] if origin else [])])

    def preflight(self, server, origin=HERE, target="/files/x", method="PUT"):
        return self.ask(server, "OPTIONS", target, f"Access-Control-Request-Method: {method}",
                        "Access-Control-Request-Headers: content-type,upload-offset", origin=origin)

    def assert_says_nothing(self, answer):
        self.assertEqual([name for name in answer.headers if name.startswith("access-control-")], [], answer)


class Listed(Case):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice(cors_origin=[HERE, THERE], max_size="1M"))
        cls.server.path("there").write_bytes(b"hello")

    def test_preflight(self):
        for origin in (HERE, THERE):
            for target, method in (("/files/x", "PUT"), ("/files/there", "DELETE"), ("/files/", "POST"),
                                   ("/", "POST"), ("/x", "PUT"), ("/uploads/x", "PATCH")):
                with self.subTest(origin, target=target):
                    answer = self.preflight(self.server, origin, target, method)
                    self.assertEqual((answer.status, answer.body), (204, b""))
                    self.assertEqual(answer.headers["access-control-allow-origin"], origin)
                    self.assertLessEqual(METHODS, set(answer.headers["access-control-allow-methods"].split(", ")))
                    self.assertLessEqual(REQUEST_HEADERS, words(answer.headers["access-control-allow-headers"]))
                    self.assertEqual(answer.headers["access-control-max-age"], "86400")
                    self.assertIn("origin", words(answer.headers["vary"]))

    def test_every_answer_is_theirs_to_read(self):
        for method, target, status, body in (("GET", "/files/there", 200, b""), ("HEAD", "/files/there", 200, b""),
                                             ("GET", "/files/nothing", 404, b""), ("GET", "/files/", 200, b""),
                                             ("PUT", "/files/there", 409, b"x"), ("PUT", "/files/new", 201, b"x"),
                                             ("PUT", "/files/..", 400, b"x"), ("PUT", "/healthz", 405, b"x"),
                                             ("PUT", "/big", 413, bytes(2_000_000)),
                                             ("DELETE", "/files/new", 204, b"")):
            with self.subTest(target, method=method):
                answer = self.ask(self.server, method, target, body=body)
                self.assertEqual(answer.status, status)
                self.assertEqual(answer.headers["access-control-allow-origin"], HERE)
                self.assertLessEqual(EXPOSED, words(answer.headers["access-control-expose-headers"]))
                self.assertIn("origin", words(answer.headers["vary"]))
        for lines, status in ((["Range: bytes=1-2"], 206), (["If-None-Match: *"], 304), (["If-Match: \"x\""], 412),
                              (["Range: bytes=9-"], 416), (["Range: bytes=0-0,3-3"], 206)):
            with self.subTest(lines):
                answer = self.ask(self.server, "GET", "/files/there", *lines)
                self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (status, HERE))

    def test_others_are_told_nothing(self):
        for origin in FOREIGN:
            with self.subTest(origin):
                self.assert_says_nothing(self.preflight(self.server, origin))
                answer = self.ask(self.server, "GET", "/files/there", origin=origin)
                self.assertEqual(answer.status, 200)
                self.assert_says_nothing(answer)
                self.assertIn("origin", words(answer.headers["vary"]))
        answer = self.ask(self.server, "GET", "/files/there", origin=None)
        self.assertNotIn("access-control-allow-origin", answer.headers)
        self.assertIn("origin", words(answer.headers["vary"]), "a cache would give it to them")

    def test_options_without_a_preflight_still_tells_what_is_allowed(self):
        answer = self.ask(self.server, "OPTIONS", "/files/there")
        self.assertEqual(answer.status, 204)
        self.assertIn("DELETE", answer.headers["allow"].split(", "))


class Others(Case):
    def test_a_star_is_for_all(self):
        with Sluice(cors_origin="*") as server:
            for origin in (HERE, "https://any.example", "null"):
                with self.subTest(origin):
                    answer = self.preflight(server, origin)
                    self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (204, "*"))
                    self.assertNotIn("access-control-allow-credentials", answer.headers)
                    answer = self.ask(server, "GET", "/files/nothing", origin=origin)
                    self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (404, "*"))
                    self.assertIn("etag", words(answer.headers["access-control-expose-headers"]))

    def test_off_by_default(self):
        with Sluice() as server:
            self.assert_says_nothing(self.preflight(server))
            self.assert_says_nothing(self.ask(server, "GET", "/files/nothing"))


SCRIPT = """
const [target, method, headers, text] = arguments;
return fetch(target, { method, headers, body: text ?? undefined }).then(
  async answer => [answer.status, await answer.text(), Object.fromEntries(answer.headers)],
  error => [0, String(error), {}]);
"""


@unittest.skipUnless(webdriver.is_there(), "chromium or chromium-driver is not installed")
class Chromium(unittest.TestCase):
    def test_a_page_of_another_origin(self):
        text = content(30_000).hex()
        pages = {"/": ("text/html", b"<!doctype html><title>other</title>")}
        with Site(pages) as site, Sluice(cors_origin=site.origin, max_size="100k") as server, Sluice() as closed, \
                webdriver.Browser() as browser:
            browser.open(site.origin + "/")
            url = server.url + "/files/a.txt"
            status, _, headers = browser.script(SCRIPT, url, "PUT", {"X-Request-Id": "it", "Content-MD5": "x"}, text)
            self.assertEqual((status, headers["x-request-id"]), (400, "it"))
            status, _, headers = browser.script(SCRIPT, url, "PUT", {"If-None-Match": "*"}, text)
            self.assertEqual((status, headers["location"]), (201, url))
            status, body, headers = browser.script(SCRIPT, url, "GET", {"Range": "bytes=5-9"}, None)
            self.assertEqual((status, body), (206, text[5:10]))
            self.assertEqual(headers["content-range"], f"bytes 5-9/{len(text)}")
            self.assertIn("repr-digest", headers)
            status, body, _ = browser.script(SCRIPT, url + "x", "PUT", {}, text * 4)
            self.assertEqual((status, json.loads(body)["code"]), (413, "too-large"))
            self.assertEqual(browser.script(SCRIPT, url, "DELETE", {"If-Match": headers["etag"]}, None)[0], 204)
            for method, body in (("GET", None), ("PUT", text), ("DELETE", None)):
                self.assertEqual(browser.script(SCRIPT, closed.url + "/files/a.txt", method, {}, body)[0], 0, method)
            self.assertEqual((server.stored(), closed.stored()), ([], []))


if __name__ == "__main__":
    unittest.main()
