"""What every wire test needs: the program under test, curl, raw sockets, and a look at files and processes.

The program runs as a user would run it, on 127.0.0.1, on a port the kernel chose, in a fresh root. Nothing here sleeps
for a fixed time: `wait_until` polls for an event and fails with a word when it does not come.
"""

import atexit
import base64
import functools
import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import zlib

import dialects

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("SLUICE_BIN", str(REPOSITORY / "build/release/sluice"))
FAULTY = os.environ.get("SLUICE_FAULTY", "")
NO_URING = os.environ.get("SLUICE_NO_URING", "")
ORIGIN = f"{dialects.SCHEME}://wire.test"  # as raw clients name the server
START_SECONDS = 20
STOP_SECONDS = 30
ANSWER_SECONDS = 20
PATIENCE_SECONDS = 60  # a busy machine may take its time
KEPT_IN_UPLOADS = {".lock"}  # all else below uploads/ is a temporary file, or named by the id of a resumable upload
UPLOAD_ID = re.compile(r"[a-z2-7]{26}")


def wait_until(condition, what, seconds=PATIENCE_SECONDS):
    """Waits until condition() is true, and returns what it gave."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


# ---- the program ----


def to_options(options, named):
    """["--a", "b"] and max_size="1M" are both ways to say an option; a list value repeats it."""
    words = [str(option) for option in options]
    for name, value in named.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            words += ["--" + name.replace("_", "-"), str(one)]
    return words


@functools.cache
def sanitizer():
    """"asan", "tsan", "gcov" (line counts, which are kept likewise), or None: what the program was built with."""
    program = pathlib.Path(BINARY).read_bytes()
    return next((name for name in ("asan", "tsan", "gcov") if f"__{name}_init".encode() in program), None)


@functools.cache
def suppressions():
    """The folder of what libh2o itself is known for. A copy that whoever the program becomes may read: the checkout may
    lie where only we may."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-known-"))
    atexit.register(shutil.rmtree, folder)
    folder.chmod(0o755)
    for known in (REPOSITORY / "tests/support").glob("*.supp"):
        shutil.copyfile(known, folder / known.name)
    return folder


def clean_environment(more=None):
    """Ours without SLUICE_*: the program reads those as its configuration and refuses what it does not know.

    A sanitizer build is told what libh2o itself is known for, and not confined: it reads /proc and runs a symbolizer.
    One for coverage writes its counts beside its objects.
    """
    sanitizers = {}
    if sanitizer():
        sanitizers = {"LSAN_OPTIONS": f"suppressions={suppressions()}/lsan.supp:print_suppressions=0",
                      "TSAN_OPTIONS": f"suppressions={suppressions()}/tsan.supp",
                      "SLUICE_CONFINE": "off"}
    ours = {key: value for key, value in os.environ.items() if not key.startswith("SLUICE_")}
    return {**sanitizers, **ours, **(more or {})}


class Sluice:
    """The running program. `with Sluice(engine="threads") as server:` starts it, and stops it as an operator would.

    options       words of the command line, as a list; or as keywords: max_size="1M", conflict="rename"
    wrapper       words before the program, as ["strace", "-f"] or [support.NO_URING, "EPERM"]
    root          a folder to serve; without it a fresh one, removed in the end
    binary        another program than that of the run
    environment   variables beside the present ones
    pass_fds      descriptors that it is to have, too
    """

    def __init__(self, *options, wrapper=(), root=None, environment=None, binary=BINARY, pass_fds=(), **named):
        words = [word for option in options for word in (option if isinstance(option, (list, tuple)) else [option])]
        if "listen" not in named and "--listen" not in words:
            named.update(dialects.listener("127.0.0.1:0"))
        self._own_root = root is None
        self.root = pathlib.Path(root if root is not None else tempfile.mkdtemp(prefix="sluice-wire-"))
        self.files, self.uploads = self.root / "files", self.root / "uploads"
        self.command = [*wrapper, binary, *to_options(words, named), "--root", str(self.root)]
        self.environment, self.pass_fds = clean_environment(environment), pass_fds
        self.process, self.banner, self.log, self.url = None, [], [], None
        self.host, self.port, self.unix = None, None, None
        self._reader = None
        self._has_ended = True  # and a test has seen it: who ends otherwise has crashed

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.discard()
            raise

    def __exit__(self, kind, *_):
        try:
            if kind is None and not self._has_ended:
                self.stop()
        finally:
            self.discard()

    def start(self):
        """Starts it, for the first time or again."""
        self._close_pipes()
        self.log, self.banner = [], []
        self._is_ending = self._has_ended = False
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, errors="backslashreplace",
                                        env=self.environment, pass_fds=self.pass_fds)
        self._reader = threading.Thread(target=self._read_log, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        watchdog = threading.Timer(START_SECONDS, self.process.kill)
        watchdog.start()
        for line in self.process.stdout:  # the start block ends with a line to try
            self.banner.append(line.rstrip("\n"))
            if line.split()[:1] == ["try"]:
                break
        watchdog.cancel()
        if not self.banner or self.banner[-1].split()[:1] != ["try"]:
            raise AssertionError(f"did not start, exit code {self.wait()}: {self.log}")
        self._take_address(self.said("listening"))
        return self

    def _take_address(self, url):
        self.url = url
        if url.startswith("unix:"):
            self.unix = url[5:]
            return
        match = re.fullmatch(r"https?://\[?([^]/]+?)\]?:(\d+)", url)
        self.host, self.port = match[1], int(match[2])

    def _read_log(self, stream):
        for line in stream:
            self.log.append(line.rstrip("\n"))

    def said(self, word):
        """The rest of the start block's line that begins with `word`."""
        for line in self.banner:
            if line.split()[:1] == [word]:
                return line.split(maxsplit=1)[1]
        raise AssertionError(f"no line {word!r} in {self.banner}")

    @property
    def urls(self):
        """Of every listener, in the order of the options."""
        return [line.split()[-1] for line in self.banner[:-1] if re.search(r"https?://\S+$", line)]

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def path(self, name):
        return self.files / name

    def stored(self):
        """Every finished file, as path below files/."""
        return sorted(str(p.relative_to(self.files)) for p in self.files.rglob("*") if p.is_file())

    def temp_files(self):
        return sorted(str(p.relative_to(self.uploads)) for p in self.uploads.rglob("*")
                      if p.is_file() and p.name not in KEPT_IN_UPLOADS and not UPLOAD_ID.fullmatch(p.name))

    def kept(self):
        """The ids of resumable uploads, finished ones too, that are there."""
        return sorted(p.name for p in self.uploads.iterdir() if UPLOAD_ID.fullmatch(p.name))

    def terminate(self):
        self._is_ending = True
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds=STOP_SECONDS):
        """Waits for the end and returns the exit code."""
        code = self.process.wait(seconds)
        self._has_ended = True
        self._reader.join(5)
        return code

    def stop(self):
        """SIGTERM, unless it has had one, for a second one ends it at once; it must drain, leave with 0, and leave
        nothing behind."""
        if not self._is_ending:
            self.terminate()
        code = self.wait()
        assert code == 0, f"exit code {code} at the end: {self.log[-20:]}"
        assert self.temp_files() == [], f"left in uploads/: {self.temp_files()}"

    def kill(self):
        self.process.kill()
        return self.wait()

    def _close_pipes(self):
        if self.process is not None:
            self.process.stdout.close()
            self._reader.join(5)
            self.process.stderr.close()

    def discard(self):
        if self.process is not None:
            if self.is_running():
                self.kill()
            self._close_pipes()
        if self._own_root:
            shutil.rmtree(self.root, ignore_errors=True)


def run_program(*words, wrapper=(), environment=None, seconds=START_SECONDS):
    """Runs the program to its end, for --help and bad options."""
    return subprocess.run([*wrapper, BINARY, *words], capture_output=True, text=True, timeout=seconds,
                          stdin=subprocess.DEVNULL, env=clean_environment(environment))


# ---- answers ----


class Answer:
    """An HTTP answer. Header names are lower case; a header sent twice is joined by ", "."""

    def __init__(self, status, headers, body, exit_code=0, message=""):
        self.status, self.headers, self.body = status, headers, body
        self.exit_code, self.message = exit_code, message  # of curl

    @property
    def text(self):
        return self.body.decode("utf-8", "backslashreplace")

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The stable code of a problem, or None."""
        is_problem = self.headers.get("content-type") == "application/problem+json"
        return self.json()["code"] if is_problem else None

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r} curl: {self.exit_code} {self.message}>"


def parse_head(head):
    """Of HTTP/1, and as curl writes that of HTTP/2."""
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(status_line.split(" ", 2)[1]), headers


# ---- curl ----


def curl_command():
    return ["curl", "-q", "-sS", "--noproxy", "*", *dialects.curl_words()]


def curl(*words, data=None, seconds=120, output=None):
    """The real curl, quiet and without a config file. status is 0 when no answer came. data: bytes for its stdin.
    output: a file for the body, which may hold a part of it already, for -C. An answer came in the run's dialect."""
    with tempfile.TemporaryDirectory(prefix="sluice-curl-") as folder:
        head, body = pathlib.Path(folder, "head"), pathlib.Path(output or pathlib.Path(folder, "body"))
        command = [*curl_command(), "-m", str(seconds), "-D", head, "-o", body, "-w", "%{http_version} %{http_code}"]
        done = subprocess.run([*command, *map(str, words)], capture_output=True, input=data)
        version, status = done.stdout.decode().split()
        status, headers = int(status), {}
        assert not status or version == dialects.CURL_VERSION, f"curl spoke HTTP/{version}"
        if status and head.exists():
            heads = [piece for piece in head.read_bytes().split(b"\r\n\r\n") if piece]
            status, headers = parse_head(heads[-1])  # those before are 100 Continue
        content = body.read_bytes() if body.exists() else b""
    return Answer(status, headers, content, done.returncode, done.stderr.decode("utf-8", "backslashreplace").strip())


# ---- raw sockets ----


class Raw:
    """A socket and its reading end: bytes out as they are given, one HTTP answer in at a time."""

    def __init__(self, server, seconds=ANSWER_SECONDS):
        if server.unix:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(server.unix)
        else:
            self.socket = socket.create_connection((server.host, server.port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if server.url.startswith("https:"):
            self.socket = dialects.wrapped(self.socket)
        self.socket.settimeout(seconds)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def drip(self, data):
        """One byte a segment: TCP_NODELAY is set."""
        for at in range(len(data)):
            self.send(data[at:at + 1])
        return self

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        """Closes with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def _more(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError(f"the connection was closed after {self.pending[:200]!r}")
        self.pending += piece

    def take(self, length):
        """The next `length` bytes."""
        pieces, missing = [self.pending], length - len(self.pending)
        while missing > 0:
            piece = self.socket.recv(min(missing, 1 << 20))
            if not piece:
                raise EOFError(f"the connection was closed, {missing} of {length} bytes before the end")
            pieces.append(piece)
            missing -= len(piece)
        taken = b"".join(pieces)
        taken, self.pending = taken[:length], taken[length:]
        return taken

    def _line(self):
        while b"\r\n" not in self.pending:
            self._more()
        line, _, self.pending = self.pending.partition(b"\r\n")
        return line

    def _chunks(self):
        pieces = []
        while length := int(self._line(), 16):
            pieces.append(self.take(length))
            assert self._line() == b"", "a chunk longer than it said"
        while self._line():
            pass  # trailers
        return b"".join(pieces)

    def head(self):
        """Reads the head of an answer, an interim one too: (status, headers)."""
        while b"\r\n\r\n" not in self.pending:
            self._more()
        head, _, self.pending = self.pending.partition(b"\r\n\r\n")
        return parse_head(head)

    def answer(self, method="GET"):
        """Reads one answer, an interim one too."""
        status, headers = self.head()
        if method == "HEAD" or status < 200 or status in (204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, self._chunks())
        if "content-length" not in headers:
            return Answer(status, headers, self.rest())
        return Answer(status, headers, self.take(int(headers["content-length"])))

    def rest(self):
        """Everything until the server closes."""
        try:
            while True:
                self._more()
        except EOFError:
            pass
        rest, self.pending = self.pending, b""
        return rest

    def is_closed_clean(self):
        """Did the server close after its answer, without another byte and without a reset?"""
        try:
            return self.rest() == b""
        except (TimeoutError, ConnectionResetError):
            return False

    def request(self, method, target, body=b"", headers=()):
        """Sends a whole request and reads its answer."""
        head = [f"{method} {target} HTTP/1.1", "Host: wire.test", *headers]
        if body or method in ("PUT", "POST"):
            head.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        return self.answer(method)


def raw(server, **options):
    """A Raw that speaks the run's dialect: in those of HTTP/2 the bytes it is given are translated."""
    if not dialects.IS_H2:
        return Raw(server, **options)
    from raw_h2 import RawH2  # here, because it needs us
    return RawH2(server, **options)


# ---- names and lists ----


def path_of(url):
    """The path below files/ that a URL of ours shows."""
    return urllib.parse.unquote(urllib.parse.urlsplit(url).path).removeprefix("/files/")


def quoted(path):
    """The target of a stored path."""
    return "/files/" + urllib.parse.quote(path)


def pages_of(server, **query):
    """Every page of a list, one request each, by its cursor."""
    with Raw(server) as client:
        after = query.pop("after", None)
        while True:
            words = urllib.parse.urlencode({**query, **({} if after is None else {"after": after})})
            answer = client.request("GET", f"/files/?{words}")
            assert answer.status == 200, answer
            page = answer.json()
            yield page["files"]
            after = page["next"]
            if after is None:
                return


def listed(server, **query):
    """Every entry of a list, over all its pages."""
    return [entry for page in pages_of(server, **query) for entry in page]


# ---- digests ----


@functools.cache
def _crc32c_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


@functools.lru_cache(8)  # it is slow, and bodies are asked about again
def crc32c(data):
    table, crc = _crc32c_table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return (crc ^ 0xFFFFFFFF).to_bytes(4, "big")


def crc32(data):
    return zlib.crc32(data).to_bytes(4, "big")


HASHES = {"sha-256": "sha256", "sha-512": "sha512", "sha": "sha1", "md5": "md5"}
CHECKS = {"crc32c": crc32c, "crc32": crc32}


def digest(algorithm, data):
    """Of the names that digest fields use, and crc32."""
    check = CHECKS.get(algorithm)
    return check(data) if check else hashlib.new(HASHES[algorithm], data).digest()


def base64_of(data):
    return base64.b64encode(data).decode()


def digest_field(data, *algorithms):
    """The value of a Content-Digest or Repr-Digest."""
    return ", ".join(f"{name}=:{base64_of(digest(name, data))}:" for name in algorithms)


def parse_digest_field(value):
    """{algorithm: base64}"""
    members = value.split(", ") if value else []
    return dict(re.fullmatch(r"([a-z0-9-]+)=:([A-Za-z0-9+/=]*):", member).groups() for member in members)


def etag_of(data):
    """The entity tag of these bytes, where sha-256 is known."""
    return f'"{base64_of(hashlib.sha256(data).digest())}"'


# ---- other people's sites ----


class Site:
    """A foreign web server of a few pages, {"/path": (type, bytes)}; it remembers what it was asked for. A context
    manager."""

    def __init__(self, pages):
        self.pages, self.asked = pages, []

    def __enter__(self):
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked.append(self.path)
                kind, body = site.pages.get(self.path, ("text/plain", b""))
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


# ---- bytes, files, processes ----


def content(size, seed=1):
    """`size` bytes that look random, always the same, and differ at every offset."""
    return hashlib.shake_128(f"sluice {seed}".encode()).digest(size)


def sha256_of(data):
    return hashlib.sha256(data).hexdigest()


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sockets(pid):
    """Open ones, of listeners and connections."""
    count = 0
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += os.readlink(fd).startswith("socket:")
        except FileNotFoundError:
            pass
    return count


def fds(pid):
    """How many descriptors a process holds."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def rss_mib(pid):
    """Resident memory: (now, peak)."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return tuple(int(re.search(rf"{key}:\s+(\d+) kB", status)[1]) / 1024 for key in ("VmRSS", "VmHWM"))


def free_bytes(path):
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize
