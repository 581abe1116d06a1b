"""TLS as a test needs it: certificates made on the spot, and a client that can cut, hold back, corrupt and forge
records.

The client is Python's ssl over memory: what it wants to send lies in our hands first. Its `Forge` makes records of
TLS 1.3 that no library would send, by the traffic secret of the connection; AES-GCM is libcrypto's.
"""

import ctypes
import ctypes.util
import hashlib
import hmac
import os
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import tempfile

import support

CHANGE_CIPHER, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23  # kinds of records
RECORD_MAX = 16384
KEY_UPDATE_QUIET, KEY_UPDATE_ASKING = bytes([24, 0, 0, 1, 0]), bytes([24, 0, 0, 1, 1])


# ---- certificates ----


class Authority:
    """A folder of certificates below one root, with an intermediate for those that want a chain."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.root = self.folder / "ca.pem"
        self._make("ca", "test root", ["basicConstraints=critical,CA:TRUE"], "ec", None)
        self._make("middle", "test intermediate", ["basicConstraints=critical,CA:TRUE"], "ec", "ca")

    def _make(self, file, name, extensions, kind, issuer):
        key = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}[kind]
        words = ["openssl", "req", "-x509", "-newkey", *key, "-nodes", "-days", "30", "-subj", f"/CN={name}",
                 "-keyout", self.folder / f"{file}.key", "-out", self.folder / f"{file}.pem"]
        for extension in extensions:
            words += ["-addext", extension]
        if issuer:
            words += ["-CA", self.folder / f"{issuer}.pem", "-CAkey", self.folder / f"{issuer}.key"]
        subprocess.run([str(word) for word in words], check=True, capture_output=True)

    def issue(self, file, *names, kind="ec", is_chained=False):
        """(certificate, key) for these names; a chained one carries its intermediate."""
        kinds = ("IP:" if re.fullmatch(r"[\d.]+", name) else "DNS:" for name in names)
        names_field = "subjectAltName=" + ",".join(map("".join, zip(kinds, names)))
        self._make(file, names[0], [names_field, "basicConstraints=critical,CA:FALSE"], kind,
                   "middle" if is_chained else "ca")
        cert, key = self.folder / f"{file}.pem", self.folder / f"{file}.key"
        if is_chained:
            cert.write_text(cert.read_text() + (self.folder / "middle.pem").read_text())
        return cert, key


def urls_of(server):
    """Every address of the start block, in its order."""
    at = next(i for i, line in enumerate(server.banner) if line.split()[:1] == ["listening"])
    urls = [server.said("listening").split()[0]]
    for line in server.banner[at + 1:]:
        if not line.startswith(" " * 8):  # another word of the block
            break
        urls.append(line.split()[0])
    return urls


def port_of(url):
    return int(url.rsplit(":", 1)[1])


def curl_tls(authority, http, *words, data=None, output=os.devnull):
    """(version of HTTP, status, location): support's curl speaks one dialect, here both are wanted at once."""
    done = subprocess.run(["curl", "-q", "-sS", "--noproxy", "*", "--cacert", authority.root, f"--http{http}",
                           "-o", output, "-w", "%{http_version} %{http_code} %header{location}", *words],
                          capture_output=True, input=data, timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"curl: {done.returncode} {done.stderr}")
    version, status, location = done.stdout.decode().split(" ")
    return version, status, location


# ---- the client ----


class Pipe:
    """What support.Raw takes for a socket: TLS over memory, over the socket `plain`."""

    def __init__(self, plain, context, name, session=None):
        self.plain, self.incoming, self.outgoing = plain, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.first = b""  # of what came: the ServerHello
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name, session=session)

    def flush(self):
        if self.outgoing.pending:
            self.plain.sendall(self.outgoing.read())

    def until_done(self, act):
        """Feeds what comes until `act` has what it needs."""
        while True:
            try:
                result = act()
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
            except ssl.SSLError:
                self.flush_quietly()
                raise
            piece = self.plain.recv(1 << 16)
            self.first = self.first or piece
            if piece:
                self.incoming.write(piece)
            else:
                self.incoming.write_eof()

    def flush_quietly(self):
        """An alert to who may have gone already."""
        try:
            self.flush()
        except OSError:
            pass

    def sendall(self, data):
        self.plain.sendall(self.sealed(data))

    def sealed(self, data):
        """The records of `data`, for us to send, whole or not."""
        for at in range(0, len(data), RECORD_MAX):
            self.tls.write(data[at:at + RECORD_MAX])
        return self.outgoing.read()

    def recv(self, room):
        """b"" is a close_notify; an end without one raises SSLEOFError."""
        try:
            return self.until_done(lambda: self.tls.read(room))
        except ssl.SSLZeroReturnError:
            return b""

    def settimeout(self, seconds):
        self.plain.settimeout(seconds)

    def shutdown(self, _):
        """close_notify, and nothing below it: we still read."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.flush()

    def setsockopt(self, *words):
        self.plain.setsockopt(*words)

    def close(self):
        self.plain.close()


class Secure(support.Raw):
    """A support.Raw that speaks TLS to `port` of 127.0.0.1, or to a unix socket. Its handshake is done, unless hello
    is False. alpn: names to offer. version: the only one to speak. session: one to resume."""

    def __init__(self, where, authority, name="localhost", alpn=(), version=None, session=None, hello=True,
                 seconds=support.ANSWER_SECONDS, ciphers=None):
        if isinstance(where, int):
            self.plain = socket.create_connection(("127.0.0.1", where))
            self.plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.plain = socket.socket(socket.AF_UNIX)
            self.plain.connect(str(where))
        self.plain.settimeout(seconds)
        try:
            self._begin(authority, name, alpn, version, session, ciphers)
            if hello:
                self.shake_hands()
        except BaseException:
            self.plain.close()
            raise

    def _begin(self, authority, name, alpn, version, session, ciphers):
        context = session.context if session else ssl.create_default_context(cafile=authority.root)
        if not session:
            self._secrets = tempfile.NamedTemporaryFile("r", prefix="sluice-keys-")
            context.keylog_filename = self._secrets.name
            context.check_hostname = name is not None
            if version:
                context.minimum_version = context.maximum_version = version
            if alpn:
                context.set_alpn_protocols(list(alpn))
            if ciphers:
                context.set_ciphers(ciphers)
        self.context, self.pending = context, b""
        self.socket = Pipe(self.plain, context, name, session.tls.session if session else None)

    def shake_hands(self):
        self.socket.until_done(self.tls.do_handshake)
        return self

    @property
    def tls(self):
        return self.socket.tls

    @property
    def alpn(self):
        return self.tls.selected_alpn_protocol()

    def names(self):
        """Of the certificate that the server showed."""
        return [name for _, name in self.tls.getpeercert()["subjectAltName"]]

    def serial(self):
        return self.tls.getpeercert()["serialNumber"]

    def hello(self):
        """The first flight, for us to send."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.socket.outgoing.read()

    def sealed(self, data):
        return self.socket.sealed(data)

    def forge(self):
        """For a connection on which we have sent nothing yet."""
        words = dict(line.split(" ", 1) for line in pathlib.Path(self._secrets.name).read_text().splitlines()
                     if not line.startswith("#"))
        if self.tls.version() == "TLSv1.3":
            return Forge(bytes.fromhex(words["CLIENT_TRAFFIC_SECRET_0"].split()[1]), self.tls.cipher()[0])
        client_random, master = map(bytes.fromhex, words["CLIENT_RANDOM"].split())
        return Forge12(master, self.socket.first[11:43] + client_random)

    def send_plain(self, data):
        """Past TLS, straight into the socket."""
        self.plain.sendall(data)
        return self

    def close(self):
        self.plain.close()
        if hasattr(self, "_secrets"):
            self._secrets.close()


# ---- forged records ----

_crypto = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
for _name in ("EVP_CIPHER_CTX_new", "EVP_aes_128_gcm", "EVP_aes_256_gcm"):
    getattr(_crypto, _name).restype = ctypes.c_void_p
GET_TAG = 0x10


def expand(secret, label, length, algorithm):
    """HKDF-Expand-Label of RFC 8446 section 7.1, one block of it."""
    label = b"tls13 " + label
    info = struct.pack(">HB", length, len(label)) + label + b"\x00"
    return hmac.digest(secret, info + b"\x01", algorithm)[:length]


class Gcm:
    """AES-GCM of libcrypto, for one direction."""

    def __init__(self, key):
        self._context = ctypes.c_void_p(_crypto.EVP_CIPHER_CTX_new())
        self.set_key(key)

    def __del__(self):
        _crypto.EVP_CIPHER_CTX_free(self._context)

    def set_key(self, key):
        cipher = getattr(_crypto, f"EVP_aes_{8 * len(key)}_gcm")()
        _crypto.EVP_EncryptInit_ex(self._context, ctypes.c_void_p(cipher), None, key, None)

    def seal(self, nonce, beside, content):
        out, tag, size = ctypes.create_string_buffer(len(content)), ctypes.create_string_buffer(16), ctypes.c_int()
        _crypto.EVP_EncryptInit_ex(self._context, None, None, None, nonce)
        _crypto.EVP_EncryptUpdate(self._context, None, ctypes.byref(size), beside, len(beside))
        _crypto.EVP_EncryptUpdate(self._context, out, ctypes.byref(size), content, len(content))
        _crypto.EVP_EncryptFinal_ex(self._context, tag, ctypes.byref(size))
        _crypto.EVP_CIPHER_CTX_ctrl(self._context, GET_TAG, 16, tag)
        return out.raw[:len(content)] + tag.raw


class Forge:
    """Seals whatever it is told, as the client of one TLS 1.3 connection."""

    def __init__(self, secret, cipher):
        self.algorithm, self.key_bytes = {"TLS_AES_128_GCM_SHA256": ("sha256", 16),
                                          "TLS_AES_256_GCM_SHA384": ("sha384", 32)}[cipher]
        self._gcm = Gcm(bytes(self.key_bytes))
        self._take(secret)

    def _take(self, secret):
        self.secret, self.sequence = secret, 0
        key = expand(secret, b"key", self.key_bytes, self.algorithm)
        self.iv = int.from_bytes(expand(secret, b"iv", 12, self.algorithm), "big")
        self._gcm.set_key(key)

    def seal(self, kind, content, padding=0):
        inner = content + bytes([kind]) + bytes(padding)
        header = struct.pack(">BHH", DATA, 0x0303, len(inner) + 16)
        nonce = (self.iv ^ self.sequence).to_bytes(12, "big")
        self.sequence += 1
        return header + self._gcm.seal(nonce, header, inner)

    def data(self, content, piece=RECORD_MAX):
        return b"".join(self.seal(DATA, content[at:at + piece]) for at in range(0, len(content), piece))

    def key_update(self, message=KEY_UPDATE_QUIET):
        """One, and the keys that follow it."""
        record = self.seal(HANDSHAKE, message)
        self._take(expand(self.secret, b"traffic upd", hashlib.new(self.algorithm).digest_size, self.algorithm))
        return record


class Forge12:
    """The same for TLS 1.2 with ECDHE-*-AES128-GCM-SHA256 (RFC 5246 section 6.3, RFC 5288 section 3)."""

    def __init__(self, master, randoms):
        seed = a = b"key expansion" + randoms
        block = b""
        while len(block) < 40:
            a = hmac.digest(master, a, "sha256")
            block += hmac.digest(master, a + seed, "sha256")
        self._gcm, self._salt, self.sequence = Gcm(block[:16]), block[32:36], 1  # 0 was Finished

    def seal(self, kind, content):
        sequence = struct.pack(">Q", self.sequence)
        self.sequence += 1
        beside = sequence + struct.pack(">BHH", kind, 0x0303, len(content))
        sealed = sequence + self._gcm.seal(self._salt + sequence, beside, content)
        return struct.pack(">BHH", kind, 0x0303, len(sealed)) + sealed

    def data(self, content):
        return b"".join(self.seal(DATA, content[at:at + RECORD_MAX]) for at in range(0, len(content), RECORD_MAX))
