"""Every refusal reaches curl as its status, while it is still sending; and says where to read about it."""

import unittest

import dialects
from refusals import MIB, REFUSALS, SIZES, Servers
from support import Sluice, curl, raw


class Curl(Servers, unittest.TestCase):
    def test_with_and_without_expect_and_length(self):
        for size in SIZES:
            body = self.folder / f"{size}"
            with open(body, "wb") as file:
                file.truncate(size)
            for server, code, status, method, target, headers in self.rows():
                lines = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
                send = ["-T", body] if method == "PUT" else ["--data-binary", f"@{body}"]
                for how in ("Expect:", "Expect: 100-continue", "Transfer-Encoding: chunked"):
                    with self.subTest(code, size=size, how=how):
                        answer = curl(*send, "-H", how, *lines, server.url + target)
                        self.assertEqual((answer.status, answer.exit_code), (status, 0), answer)
                        self.assert_told(answer.json(), code, status)
        self.assert_untouched()

    def test_other_ways_to_be_too_large(self):
        body = self.folder / "body"
        with open(body, "wb") as file:
            file.truncate(SIZES[1])
        url = self.small.url
        for words in (["-T", "-", f"{url}/new"], ["-F", f"a=@{body}", f"{url}/"],
                      ["--data-binary", f"@{body}", f"{url}/"],
                      ["-H", "Transfer-Encoding: chunked", "-F", f"a=@{body}", f"{url}/"]):
            with self.subTest(words):
                answer = curl(*words, data=bytes(4 * MIB) if "-" in words else None)
                self.assertEqual((answer.status, answer.code, answer.exit_code), (413, "too-large", 0), answer)
        self.assert_untouched()

    def test_an_unknown_expectation(self):
        body = self.folder / "body"
        body.write_bytes(bytes(MIB))
        answer = curl("-T", body, "-H", "Expect: fame", self.large.url + "/new")
        self.assertEqual((answer.status, answer.code, answer.exit_code), (417, "bad-expectation", 0), answer)


class Explained(unittest.TestCase):
    def test_the_type_of_a_problem_is_a_page_that_explains_it(self):
        with Sluice() as server:
            for words, code in ((["/files/nothing"], "not-found"), (["/files/.%2e/x", "-I"], None),
                                (["/files/a%5Cb", "-T", "-"], "bad-path"), (["/", "-X", "BREW"], "method-not-allowed")):
                answer = curl(server.url + words[0], *words[1:], data=b"x")
                with self.subTest(words):
                    self.assertEqual(answer.headers["content-type"], "application/problem+json")
                    if code is None:
                        continue
                    problem = answer.json()
                    self.assertEqual(problem["type"], f"{server.url}/errors#{code}")
                    self.assertTrue(problem["detail"])
                    self.assertEqual(problem["request-id"], answer.headers["x-request-id"])
            page = curl(server.url + "/errors")
            self.assertEqual(page.status, 200)
            self.assertTrue(page.headers["content-type"].startswith("text/html"))
            for code in [*REFUSALS, "not-found", "digest-mismatch", "range-not-satisfiable", "no-space"]:
                with self.subTest(code):
                    self.assertRegex(page.text, rf'id="?{code}"?[ >]')

    @dialects.only("h1", "h1-tls")
    def test_answers_to_those_who_name_no_host_are_relative(self):
        with Sluice() as server, raw(server) as client:
            problem = client.send(b"GET /files/nothing HTTP/1.0\r\n\r\n").answer().json()
            self.assertEqual(problem["type"], "/errors#not-found")


if __name__ == "__main__":
    unittest.main()
