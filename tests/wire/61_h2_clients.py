"""Clients of HTTP/2 that others wrote: nghttp, h2load, curl and Chromium, with many uploads on one connection; and what
a client gets that asks HTTP/1 for an upgrade. Each says itself over which protocol it was served."""

import pathlib
import re
import subprocess
import tempfile
import unittest

import dialects
import webdriver
from support import Sluice, content, digest_field, raw, sha256, sha256_of

KIB, MIB = 1 << 10, 1 << 20
MANY = 30
SECONDS = 60


def run(*command):
    """What it printed; it must have ended well."""
    done = subprocess.run([*map(str, command)], capture_output=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, (command, done.returncode, done.stdout[-500:], done.stderr[-500:])
    return done.stdout.decode("utf-8", "backslashreplace")


class Case(unittest.TestCase):
    """`urls` has one in plain and one in TLS."""

    def setUp(self):
        cert, key = dialects.certificate()
        self.server = self.enterContext(Sluice(listen=["127.0.0.1:0", "127.0.0.1:0 tls"], tls_cert=cert, tls_key=key,
                                               durability="none"))
        self.urls = self.server.urls
        self.assertEqual([url.split(":")[0] for url in self.urls], ["http", "https"], self.server.banner)
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-wire-")))

    def sample(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path


class Nghttp(Case):
    def test_an_upload_and_its_download(self):
        data = content(5 * MIB + 1)
        sample = self.sample("sample", data)
        for number, url in enumerate(self.urls):
            with self.subTest(url):
                told = run("nghttp", "-nvy", "-H", ":method: PUT", "-d", sample, f"{url}/files/{number}")
                self.assertEqual(statuses(told), ["201"])
                self.assertEqual(sha256(self.server.path(f"{number}")), sha256_of(data))
                answer = subprocess.run(["nghttp", "-y", f"{url}/files/{number}"], capture_output=True, check=True)
                self.assertEqual(sha256_of(answer.stdout), sha256_of(data))

    def test_a_trailer(self):
        """It is no part of the body. One that would bring a digest is refused as soon as it is announced."""
        data = content(100_000)
        sample = self.sample("sample", data)
        digest = f"content-digest: {digest_field(data, 'sha-256')}"
        for number, url in enumerate(self.urls):
            for trailer, status in (("x-any: thing", "201"), (digest, "400")):
                with self.subTest(url, trailer=trailer):
                    told = run("nghttp", "-nvy", "-H", ":method: PUT", "-d", sample, "--trailer", trailer,
                               f"{url}/files/t{number}-{status}")
                    self.assertEqual(statuses(told), [status])
            self.assertEqual(sha256(self.server.path(f"t{number}-201")), sha256_of(data))
            self.assertFalse(self.server.path(f"t{number}-400").exists())

    def test_many_downloads_on_one_connection(self):
        self.server.path("a").write_bytes(content(MIB))
        for url in self.urls:
            with self.subTest(url):
                told = run("nghttp", "-nvym", MANY, f"{url}/files/a")
                self.assertEqual(statuses(told), ["200"] * MANY)
                self.assertEqual(told.count("recv SETTINGS frame <"), 2, "theirs, and the word that ours was read")


def statuses(told):
    """Of each answer that nghttp -v shows."""
    return re.findall(r":status: (\d+)", told)


class H2load(Case):
    UPLOADS, CLIENTS = 400, 4

    def load(self, *words):
        told = run("h2load", "-n", self.UPLOADS, "-c", self.CLIENTS, "-m", 20, *words)
        counts = re.search(r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", told)
        self.assertEqual([int(count) for count in counts.groups()], [self.UPLOADS, 0, 0, 0], told)
        self.assertIn(f"{self.UPLOADS} 2xx, 0 3xx, 0 4xx, 0 5xx", told)
        return told

    def test_many_uploads_on_few_connections(self):
        data = content(70_000)
        sample = self.sample("sample", data)
        for url, protocol in zip(self.urls, ("h2c", "h2")):
            with self.subTest(url):
                before = set(self.server.stored())
                told = self.load("-d", sample, "-H", "Content-Type: a/b", f"{url}/files/?name=load")
                self.assertIn(f"Application protocol: {protocol}\n", told)
                made = set(self.server.stored()) - before
                self.assertEqual(len(made), self.UPLOADS)
                self.assertEqual({sha256(self.server.path(path)) for path in made}, {sha256_of(data)})

    def test_many_downloads_on_few_connections(self):
        self.server.path("a").write_bytes(content(300_000))
        for url in self.urls:
            with self.subTest(url):
                told = self.load(f"{url}/files/a")
                self.assertRegex(told, rf"\({self.UPLOADS * 300_000}\) data")


class Curl(Case):
    def test_parallel_uploads_on_one_connection(self):
        """In TLS: without, by prior knowledge, curl 7.88 fails all but the first by itself, code 16."""
        samples = {f"{number}": content(number * 50_000, seed=number) for number in range(MANY)}
        for name, data in samples.items():
            self.sample(name, data)
        told = run("curl", "-q", "-s", "--noproxy", "*", "--cacert", dialects.certificate()[0], "-Z",
                   "--parallel-max", MANY, "-w", "%{http_version} %{http_code} %{num_connects}\n", "-o", "/dev/null",
                   "-T", f"{self.folder}/[0-{MANY - 1}]", f"{self.urls[1]}/files/")
        lines = [line.split() for line in told.splitlines()]
        self.assertEqual([line[:2] for line in lines], [["2", "201"]] * MANY)
        self.assertEqual(sum(int(line[2]) for line in lines), 1, "connections")
        for name, data in samples.items():
            self.assertEqual(sha256(self.server.path(name)), sha256_of(data), name)

    def test_an_upgrade_is_not_made_and_the_request_answered(self):
        """RFC 9113 has no Upgrade: h2c any more; a server may ignore it."""
        sample = self.sample("sample", content(MIB))
        told = run("curl", "-q", "-s", "--noproxy", "*", "--http2", "-w", "%{http_version} %{http_code}", "-o",
                   "/dev/null", "-T", sample, f"{self.urls[0]}/files/up")
        self.assertEqual(told, "1.1 201")
        self.assertEqual(sha256(self.server.path("up")), sha256(sample))
        with raw(self.server) as client:
            lines = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"]
            for _ in range(2):  # the connection goes on in HTTP/1
                answer = client.request("GET", "/healthz", headers=lines)
                self.assertEqual((answer.status, "upgrade" in answer.headers), (200, False), answer)


PARALLEL = """
const [count, size] = arguments;
const put = number => fetch(`/files/p${number}`, { method: 'PUT', body: new Uint8Array(size + number).fill(number) })
  .then(answer => answer.text().then(() => answer.status));
return Promise.all(Array.from({ length: count }, (_, number) => put(number))).then(statuses =>
  [statuses, performance.getEntriesByType('resource').filter(entry => entry.name.includes('/files/p'))
    .map(entry => entry.nextHopProtocol)]);
"""
PROGRESS = """
const [size] = arguments;
return new Promise(resolve => {
  const request = new XMLHttpRequest(), seen = [];
  request.open('PUT', '/files/progress');
  request.upload.onprogress = event => seen.push(event.loaded);
  request.onload = () => resolve([request.status, seen]);
  request.onerror = () => resolve([0, seen]);
  request.send(new Blob([new Uint8Array(size)]));
});
"""


@unittest.skipUnless(webdriver.is_there(), "chromium or chromium-driver is not installed")
class Chromium(Case):
    def setUp(self):
        super().setUp()
        self.browser = self.enterContext(webdriver.Browser(is_trusting=True))
        self.browser.open(self.urls[1] + "/")

    def test_parallel_fetches_on_one_connection(self):
        size = 200_000
        seen, protocols = self.browser.script(PARALLEL, MANY, size)
        self.assertEqual((seen, protocols), ([201] * MANY, ["h2"] * MANY))
        for number in range(MANY):
            self.assertEqual(self.server.path(f"p{number}").read_bytes(), bytes([number]) * (size + number))

    def test_the_progress_of_an_upload(self):
        """It is told as it goes."""
        size = 8 * MIB
        self.browser.throttle(4 * MIB)
        status, seen = self.browser.script(PROGRESS, size)
        self.assertEqual((status, seen[-1]), (201, size))
        self.assertEqual(seen, sorted(seen))
        self.assertGreater(len([loaded for loaded in seen if 0 < loaded < size]), 3, seen)
        self.assertEqual(self.server.path("progress").stat().st_size, size)


if __name__ == "__main__":
    unittest.main()
