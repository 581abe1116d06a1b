"""Who the client is, where a proxy stands between: whom we believe, and what follows from it. What a list of addresses
may look like is for tests/unit/decode/test_forwarded.c; real proxies are in 92_proxies.py."""

import json
import pathlib
import shutil
import tempfile
import unittest

from support import Raw, Sluice, curl, wait_until

CHAIN = ("-H", "X-Forwarded-For: 8.8.8.8, 192.0.2.1, 10.0.0.7", "-H", "X-Forwarded-Proto: https, http",
         "-H", "X-Forwarded-Host: files.example:8443, inner")
TUS = ("-H", "Tus-Resumable: 1.0.0", "-H", "Upload-Length: 5")


def remotes(server):
    return [line["remote"] for line in map(json.loads, server.log) if "remote" in line]


class Told(unittest.TestCase):
    def put(self, server, *words):
        """Location, and the address that the log tells."""
        seen = len(remotes(server))
        answer = curl("-T", __file__, *words, server.url + "/a.py")
        self.assertEqual(answer.status, 201, answer)
        wait_until(lambda: len(remotes(server)) > seen, "its line")
        return answer.headers["location"], remotes(server)[seen]

    def start(self, **named):
        server = Sluice(log_format="json", conflict="rename", durability="none", **named)
        self.addCleanup(server.discard)
        server.start()
        self.addCleanup(server.stop)
        return server

    def test_nobody_is_believed_at_first(self):
        server = self.start()
        for words in (CHAIN, ("-H", "Forwarded: for=192.0.2.1;proto=https;host=evil.example")):
            location, remote = self.put(server, *words)
            self.assertTrue(location.startswith(server.url), location)
            self.assertEqual(remote, "127.0.0.1")

    def test_nor_is_one_who_is_not_listed(self):
        server = self.start(trusted_proxy=["10.0.0.0/8", "127.0.0.2", "unix"])
        location, remote = self.put(server, *CHAIN)
        self.assertTrue(location.startswith(server.url), location)
        self.assertEqual(remote, "127.0.0.1")

    def test_a_proxy_tells_address_scheme_and_host(self):
        server = self.start(trusted_proxy="127.0.0.0/8,10.0.0.0/8")
        self.assertEqual(self.put(server, *CHAIN), ("https://files.example:8443/files/a.py", "192.0.2.1"))
        self.assertEqual(self.put(server, "-H", 'Forwarded: for="[2001:db8::1]:5";proto=http;host=b.example'),
                         ("http://b.example/files/a-1.py", "2001:db8::1"))

    def test_lines_of_the_same_name_are_one_list(self):
        server = self.start(trusted_proxy="127.0.0.1")
        _, remote = self.put(server, "-H", "X-Forwarded-For: 8.8.8.8", "-H", "X-Forwarded-For: 192.0.2.1")
        self.assertEqual(remote, "192.0.2.1")

    def test_the_public_url_wins(self):
        server = self.start(trusted_proxy="127.0.0.1", public_url="https://public.example/at")
        location, _ = self.put(server, *CHAIN)
        self.assertEqual(location, "https://public.example/at/files/a.py")

    def test_what_is_malformed_takes_nothing_down(self):
        server = self.start(trusted_proxy="127.0.0.1")
        for value in (",", '"', 'for="', "for=;;=", "unknown", "\\" * 3000, ",".join(["127.0.0.1"] * 500), "[::1"):
            for name in ("Forwarded", "X-Forwarded-For"):
                location, remote = self.put(server, "-H", f"{name}: {value}", "-H", "X-Forwarded-Host: a/b",
                                            "-H", "X-Forwarded-Proto: gopher")
                self.assertTrue(location.startswith(server.url), location)
                self.assertEqual(remote, "127.0.0.1")

    def test_two_that_differ_tell_nothing(self):
        server = self.start(trusted_proxy="127.0.0.1")
        location, remote = self.put(server, "-H", "Forwarded: for=8.8.8.8;host=evil",
                                    "-H", "X-Forwarded-For: 192.0.2.1")
        self.assertTrue(location.startswith(server.url), location)
        self.assertEqual(remote, "127.0.0.1")

    def test_each_request_of_a_connection_has_its_own_client(self):
        server = self.start(trusted_proxy="127.0.0.1")
        with Raw(server) as client:
            for number in (1, 2):
                client.send(b"GET /healthz HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.%d\r\n\r\n" % number)
                client.answer()
        wait_until(lambda: len(remotes(server)) == 2, "both lines")
        self.assertEqual(remotes(server), ["192.0.2.1", "192.0.2.2"])

    def test_whoever_comes_by_a_unix_socket(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-unix-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        server = self.start(listen=f"unix:{folder}/socket", trusted_proxy="unix")
        with Raw(server) as client:
            client.send(b"PUT /a HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n"
                        b"Content-Length: 1\r\n\r\nx")
            self.assertEqual(client.answer().headers["location"], "https://h/files/a")
            wait_until(lambda: remotes(server) == ["192.0.2.1"], "its line")


class Counted(unittest.TestCase):
    """What is counted by address is counted by the client's."""

    def test_uploads_of_an_address(self):
        with Sluice(trusted_proxy="127.0.0.1", max_uploads_per_address=1) as server:
            def make(address):
                told = f"X-Forwarded-For: 7.7.7.7, {address}"
                return curl("-X", "POST", *TUS, "-H", told, server.url + "/files/").status

            self.assertEqual([make("192.0.2.1"), make("192.0.2.2"), make("192.0.2.1"), make("192.0.2.3")],
                             [201, 201, 429, 201])

    def test_connections_of_a_proxy_are_not(self):
        for trusted, served in (("10.0.0.0/8", 2), ("127.0.0.1", 5)):
            with self.subTest(trusted), Sluice(trusted_proxy=trusted, max_connections_per_address=2) as server:
                clients = [self.enterContext(Raw(server)) for _ in range(served)]
                for client in clients:
                    client.send(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
                    self.assertEqual(client.answer().status, 200)
                if served == 2:
                    with Raw(server) as late, self.assertRaises(ConnectionResetError):
                        late.socket.recv(1)


if __name__ == "__main__":
    unittest.main()
