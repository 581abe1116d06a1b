"""nginx, Caddy and HAProxy in front, by the configurations that are shipped (config/proxies/), of which only ports and
certificates are replaced: uploads stream through, links and addresses are right, refusals arrive."""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import unittest

from support import ANSWER_SECONDS, REPOSITORY, Raw, Sluice, parse_head, sanitizer, wait_until

NAME = "files.example.org"
CLIENT = "127.0.0.9"  # who asks; the proxy itself speaks from 127.0.0.1
MIB = 1 << 20
TUS = ["-H", "Tus-Resumable: 1.0.0"]
FORGED = ["-H", "X-Forwarded-For: 8.8.8.8", "-H", "Forwarded: for=8.8.8.8;host=evil.example;proto=http"]
TRIES = 5  # somebody else may take the port between our look and its use


@functools.cache
def certificate():
    """A folder with cert.pem, key.pem and both.pem, for NAME."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-proxies-"))
    unittest.addModuleCleanup(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-subj", f"/CN={NAME}",
                    "-addext", f"subjectAltName=DNS:{NAME}"], check=True, capture_output=True)
    (folder / "both.pem").write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return folder


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxied:
    """What is the same behind each of them."""

    program, config = None, None
    has_early_answers = True  # to a client that still sends

    @classmethod
    def setUpClass(cls):
        if shutil.which(cls.program) is None or sanitizer():
            raise unittest.SkipTest(f"needs {cls.program}, and the program as it is shipped")
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-proxy-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.server = Sluice(trusted_proxy="127.0.0.1", log_format="json", conflict="error", durability="none")
        cls.addClassCleanup(cls.server.discard)
        cls.server.start()
        cls.start_proxy()
        cls.origin = f"https://{NAME}:{cls.port}"

    @classmethod
    def tearDownClass(cls):
        cls.stop_proxy()
        cls.server.stop()

    @classmethod
    def start_proxy(cls):
        for _ in range(TRIES):
            cls.port = free_port()
            text = (REPOSITORY / "config/proxies" / cls.config).read_text()
            for old, new in cls.substitutions().items():
                assert old in text, f"{old!r} is not in {cls.config}"
                text = text.replace(old, new)
            (cls.folder / cls.config).write_text(text)
            with open(cls.folder / "said", "w") as said:
                cls.proxy = subprocess.Popen(cls.command(), stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                                             cwd=cls.folder, env={**os.environ, "HOME": str(cls.folder),
                                                                  "XDG_DATA_HOME": str(cls.folder)})
            if wait_until(lambda: cls.proxy.poll() is not None or cls.is_open(), "the proxy"):
                if cls.proxy.poll() is None:
                    return
        raise AssertionError((cls.folder / "said").read_text())

    @classmethod
    def stop_proxy(cls):
        cls.proxy.terminate()
        try:
            cls.proxy.wait(10)
        finally:
            cls.proxy.kill()
            cls.proxy.wait()

    @classmethod
    def is_open(cls):
        try:
            socket.create_connection(("127.0.0.1", cls.port)).close()
            return True
        except OSError:
            return False

    # ---- the client ----

    def curl(self, *words, data=None, version="--http1.1"):
        head = self.folder / "head"
        command = ["curl", "-q", "-sS", "--noproxy", "*", version, "--interface", CLIENT, "-m", "60", "-D", head,
                   "--cacert", certificate() / "cert.pem", "--resolve", f"{NAME}:{self.port}:127.0.0.1", *words]
        done = subprocess.run([str(word) for word in command], input=data, capture_output=True)
        heads = [piece for piece in head.read_bytes().split(b"\r\n\r\n") if piece]
        status, headers = parse_head(heads[-1])
        return status, headers, done

    @contextlib.contextmanager
    def connected(self):
        with socket.create_connection(("127.0.0.1", self.port), ANSWER_SECONDS, (CLIENT, 0)) as plain:
            context = ssl.create_default_context(cafile=certificate() / "cert.pem")
            with context.wrap_socket(plain, server_hostname=NAME) as client:
                yield client

    def line_of(self, target):
        """What the log tells of the last request for it."""
        def lines():
            return [line for line in map(json.loads, self.server.log) if line.get("target") == target]
        return wait_until(lambda: lines()[-1:], f"{target} in the log")[0]

    def received(self):
        """Bytes of bodies that sluice has taken."""
        with Raw(self.server) as client:
            text = client.request("GET", "/metrics").text
        return int(re.search(r"(?m)^sluice_received_bytes_total (\d+)", text)[1])

    # ---- what is to work ----

    def test_a_large_file_streams_through(self):
        half, before = os.urandom(8 * MIB), self.received()
        digest = hashlib.sha256(half + half).hexdigest()
        with self.connected() as client:
            client.sendall(f"PUT /large HTTP/1.1\r\nHost: {NAME}:{self.port}\r\nConnection: close\r\n"
                           f"Accept: application/json\r\nContent-Length: {2 * len(half)}\r\n\r\n".encode() + half)
            wait_until(lambda: self.received() - before > 7 * MIB, "the first half, before there is a second one")
            client.sendall(half)
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        self.assertIn(b" 201 ", answer.split(b"\r\n")[0])
        self.assertIn(digest.encode(), answer)
        self.assertEqual(hashlib.sha256(self.server.path("large").read_bytes()).hexdigest(), digest)

    def test_curl_uploads_what_is_above_every_default_limit(self):
        source = self.folder / "source"
        source.write_bytes(os.urandom(48 * MIB))
        for name, version in (("h1", "--http1.1"), ("h2", "--http2")):
            status, headers, done = self.curl("-T", source, *FORGED, f"{self.origin}/{name}", version=version)
            self.assertEqual((status, headers["location"]), (201, f"{self.origin}/files/{name}"), done)
            self.assertEqual(done.stdout.decode(), f"{self.origin}/files/{name}\n")
            self.assertEqual(self.server.path(name).read_bytes(), source.read_bytes())
            self.assertEqual(self.line_of(f"/{name}")["remote"], CLIENT)

    def test_what_has_no_length_comes_whole(self):
        body = os.urandom(3 * MIB)
        for name, version in (("chunked", "--http1.1"), ("endless", "--http2")):
            status, _, done = self.curl("-T", "-", f"{self.origin}/{name}", data=body, version=version)
            self.assertEqual(status, 201, done)
            self.assertEqual(self.server.path(name).read_bytes(), body)

    def test_a_tus_upload_resumes(self):
        body = os.urandom(4 * MIB)
        status, headers, done = self.curl("-X", "POST", *TUS, "-H", f"Upload-Length: {len(body)}",
                                          f"{self.origin}/files/")
        url = headers["location"]
        self.assertEqual(status, 201, done)
        self.assertTrue(url.startswith(f"{self.origin}/uploads/"), url)
        target, before = url.removeprefix(self.origin), self.received()
        with self.connected() as client:
            client.sendall(f"PATCH {target} HTTP/1.1\r\nHost: {NAME}:{self.port}\r\nTus-Resumable: 1.0.0\r\n"
                           "Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n"
                           f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:2 * MIB])
            wait_until(lambda: self.received() - before > MIB, "some of it")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        def offset():
            return int(self.curl("-I", *TUS, url)[1].get("upload-offset", 0))

        at = wait_until(offset, "what came before the break")
        self.assertLessEqual(at, 2 * MIB)
        status, headers, done = self.curl("-X", "PATCH", *TUS, "-H", f"Upload-Offset: {at}", "-H",
                                          "Content-Type: application/offset+octet-stream", "--data-binary", "@-", url,
                                          data=body[at:])
        self.assertEqual((status, headers["upload-offset"]), (204, str(len(body))), done)
        file = headers["content-location"]
        self.assertTrue(file.startswith(f"{self.origin}/files/"), file)
        self.assertEqual(self.curl(file)[2].stdout, body)
        self.assertEqual(self.line_of(target)["remote"], CLIENT)

    def test_a_refusal_before_the_body_arrives(self):
        source = self.folder / "again"
        source.write_bytes(bytes(16 * MIB))
        self.server.path("there").write_bytes(b"x")
        if not self.has_early_answers:
            self.skipTest(f"{self.program} loses some of them")
        for version in ("--http1.1", "--http2"):
            status, _, done = self.curl("-T", source, f"{self.origin}/there", version=version)
            self.assertEqual(status, 409, done)
            self.assertEqual(json.loads(done.stdout)["code"], "exists")

    def test_a_download_comes_by_ranges(self):
        body = os.urandom(3 * MIB)
        self.server.path("down").write_bytes(body)
        status, _, done = self.curl("-r", "1000-2000000", f"{self.origin}/files/down")
        self.assertEqual((status, done.stdout), (206, body[1000:2000001]))


class Nginx(Proxied, unittest.TestCase):
    program, config = "nginx", "nginx.conf"

    @classmethod
    def substitutions(cls):
        return {"127.0.0.1:8080": f"127.0.0.1:{cls.server.port}", "listen 443": f"listen 127.0.0.1:{cls.port}",
                "/etc/ssl/files.example.org.pem": str(certificate() / "cert.pem"),
                "/etc/ssl/files.example.org.key": str(certificate() / "key.pem")}

    @classmethod
    def command(cls):
        temps = "".join(f"{kind}_temp_path {cls.folder}/{kind};" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (cls.folder / "main.conf").write_text(
            f"daemon off; pid {cls.folder}/pid; error_log stderr; worker_processes 1;"
            + ("user root;" if os.geteuid() == 0 else "")
            + f"events {{}} http {{ access_log off; {temps} include {cls.folder}/{cls.config}; }}")
        return ["nginx", "-p", cls.folder, "-c", cls.folder / "main.conf"]


class Caddy(Proxied, unittest.TestCase):
    program, config = "caddy", "Caddyfile"
    has_early_answers = False  # of 120 by HTTP/1.1 6 clients saw a broken pipe; of 120 by HTTP/2 17 the status alone

    @classmethod
    def substitutions(cls):
        files = f"{certificate()}/cert.pem {certificate()}/key.pem"
        return {"127.0.0.1:8080": f"127.0.0.1:{cls.server.port}",
                f"\n{NAME} {{": "\n{\n\tadmin off\n\tauto_https disable_redirects\n}\n\n"
                                f"{NAME}:{cls.port} {{\n\tbind 127.0.0.1\n\ttls {files}"}

    @classmethod
    def command(cls):
        return ["caddy", "run", "--adapter", "caddyfile", "--config", cls.folder / cls.config]


class Haproxy(Proxied, unittest.TestCase):
    program, config = "haproxy", "haproxy.cfg"

    @classmethod
    def substitutions(cls):
        return {"127.0.0.1:8080": f"127.0.0.1:{cls.server.port}", "bind :443": f"bind 127.0.0.1:{cls.port}",
                "/etc/haproxy/files.example.org.pem": str(certificate() / "both.pem"), "maxconn 10000": "maxconn 100"}

    @classmethod
    def command(cls):
        return ["haproxy", "-db", "-f", cls.folder / cls.config]


if __name__ == "__main__":
    unittest.main()
