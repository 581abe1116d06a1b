"""Every refusal reaches curl as its status, while it is still sending; and says where to read about it."""

import select
import socket
import time
import unittest

import dialects
from refusals import MIB, REFUSALS, SIZES, Servers
from support import Sluice, content, curl, raw, sha256_of, sockets, wait_until


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


class Slow(unittest.TestCase):
    """Time is what these are about: they wait for it."""

    def test_a_body_below_the_least_rate_is_408(self):
        with Sluice(body_timeout=2, min_rate="1M", durability="none") as server, raw(server) as client:
            client.send(b"PUT /files/slow HTTP/1.1\r\nHost: wire.test\r\nContent-Length: 100000\r\n\r\n")
            for _ in range(50):  # longer than the grace, shorter than it would take
                try:
                    client.send(b"drip")
                except OSError:
                    break
                if select.select([client.socket], [], [], 0.1)[0]:
                    if dialects.NAME == "h1":
                        break  # the answer; of the others it may be anything
                    time.sleep(0.1)
            answer = client.answer("PUT")
            self.assertEqual((answer.status, answer.code), (408, "too-slow"))
            wait_until(lambda: server.temp_files() == [], "nothing is left")

    def test_who_is_fast_enough_may_take_longer(self):
        with Sluice(body_timeout=1, min_rate=10, durability="none") as server, raw(server) as client:
            client.send(b"PUT /files/fast HTTP/1.1\r\nHost: wire.test\r\nContent-Length: 400\r\n\r\n")
            for _ in range(20):
                client.send(b"20 bytes of its body")
                select.select([], [], [], 0.15)
            self.assertEqual(client.answer("PUT").status, 201)

    def test_an_idle_connection_is_closed(self):
        with Sluice(idle_timeout=1) as server, raw(server) as client:
            self.assertEqual(client.request("GET", "/healthz").status, 200)
            idle = sockets(server.pid)
            wait_until(lambda: sockets(server.pid) < idle, "it is closed", 10)

    def test_who_does_not_read_is_cut(self):
        with Sluice(write_timeout=1, durability="none") as server:
            with raw(server) as client:
                self.assertEqual(client.request("PUT", "/files/large", bytes(64 * MIB)).status, 201)
            with raw(server) as client:
                client.send(b"GET /files/large HTTP/1.1\r\nHost: wire.test\r\n\r\n")
                self.assertEqual(client.head()[0], 200)
                wait_until(lambda: any("GET /files/large" in line for line in server.log), "it is given up", 20)

    def test_who_reads_slowly_but_on_and_on_is_not(self):
        data = content(12 * MIB)
        with Sluice(write_timeout=1, durability="none") as server, raw(server) as client:
            self.assertEqual(client.request("PUT", "/files/large", data).status, 201)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            client.send(b"GET /files/large HTTP/1.1\r\nHost: wire.test\r\n\r\n")
            self.assertEqual(client.head()[0], 200)
            got = []
            for _ in range(12):  # the pace is the test: more than two seconds
                got.append(client.take(MIB))
                select.select([], [], [], 0.2)
            self.assertEqual(sha256_of(b"".join(got)), sha256_of(data))

    @dialects.only("h1", "h1-tls")
    def test_nor_is_who_takes_a_piece_longer_than_that(self):
        data = content(32 * 4096)  # one piece
        with Sluice(write_timeout=1, durability="none") as server:
            with raw(server) as client:
                self.assertEqual(client.request("PUT", "/files/piece", data).status, 201)
            with raw(server) as client:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.send(b"GET /files/piece HTTP/1.1\r\nHost: wire.test\r\n\r\n")
                status, headers = client.head()
                got = []
                for _ in range(32):  # the pace is the test: more than four seconds
                    got.append(client.take(4096))
                    select.select([], [], [], 0.15)
                self.assertEqual((status, sha256_of(b"".join(got))), (200, sha256_of(data)))


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
