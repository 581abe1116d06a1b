"""The four ways to say the same: HTTP/1.1 and HTTP/2, each plain and over TLS. SLUICE_WIRE names the one that a run of
a wire test speaks; CMakeLists.txt has the table of who runs over which. support.py makes servers, curl and raw clients
speak it, webdriver.py the browser; what a test is about stays the same."""

import atexit
import functools
import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import unittest

NAMES = ("h1", "h1-tls", "h2c", "h2-tls")
NAME = os.environ.get("SLUICE_WIRE", "h1")
assert NAME in NAMES, f"SLUICE_WIRE={NAME} is none of {NAMES}"

IS_H1, IS_H2, IS_TLS = NAME == "h1", NAME.startswith("h2"), NAME.endswith("-tls")
SCHEME = "https" if IS_TLS else "http"
CURL_VERSION = "2" if IS_H2 else "1.1"  # as curl tells it
BROWSER_FLAGS = ["--disable-http2"] if NAME == "h1-tls" else []
BROWSER_PROTOCOL = {"h1": "http/1.1", "h1-tls": "http/1.1", "h2-tls": "h2"}.get(NAME)  # browsers speak no h2c


@functools.cache
def certificate():
    """(certificate, key): files, for localhost, there until the process ends. Who trusts it, names it as its CA."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-cert-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-keyout", key, "-out", cert, "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"], check=True, capture_output=True)
    return cert, key


def listener(address):
    """The options of a server that listens there, as keywords for Sluice."""
    if not IS_TLS:
        return {"listen": address}
    cert, key = certificate()
    return {"listen": f"{address} tls", "tls_cert": cert, "tls_key": key}


def curl_words():
    """What curl is to be told."""
    trust = ["--cacert", str(certificate()[0])] if IS_TLS else []
    version = {"h1": [], "h1-tls": ["--http1.1"], "h2c": ["--http2-prior-knowledge"], "h2-tls": ["--http2"]}[NAME]
    return [*trust, *version]


@functools.cache
def _context():
    context = ssl.create_default_context(cafile=certificate()[0])
    context.set_alpn_protocols(["http/1.1"])
    return context


def wrapped(plain):
    """The socket of an HTTP/1 client, with TLS around it."""
    inside = _context().wrap_socket(plain, server_hostname="localhost")
    assert inside.selected_alpn_protocol() == "http/1.1", "the server does not offer http/1.1"
    return inside


def only(*names):
    """Of a test or a class: the other dialects have nothing like it."""
    return unittest.skipUnless(NAME in names, f"only in {', '.join(names)}")
