"""A real browser, headless, driven by plain WebDriver over HTTP: what the browser test needs of it, no more."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

import dialects
from support import Sluice, wait_until

BROWSER, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element in WebDriver's JSON
NO_JAVASCRIPT = {"profile.managed_default_content_settings.javascript": 2}
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
         "--window-size=900,900"]


SCREENSHOTS = os.environ.get("SLUICE_SCREENSHOTS")  # a folder: keep pictures of the pages there


def is_there():
    return pathlib.Path(BROWSER).exists() and pathlib.Path(DRIVER).exists()


class Stale(AssertionError):
    """The page changed between finding an element and asking it."""


class Browser:
    """`with Browser() as browser:` is a fresh profile. Elements are named by CSS selectors. is_trusting: it takes every
    certificate."""

    def __init__(self, javascript=True, flags=(), is_trusting=dialects.IS_TLS):
        self.is_trusting = is_trusting
        self.preferences = {} if javascript else NO_JAVASCRIPT
        self.flags = [*FLAGS, *dialects.BROWSER_FLAGS, *flags]
        self.driver, self.session, self.address = None, None, None

    def __enter__(self):
        self.profile = tempfile.mkdtemp(prefix="sluice-browser-")
        try:
            self._start_driver()
            self._start_session()
            return self
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    def _start_driver(self):
        self.driver_log = tempfile.TemporaryFile("w+")
        self.driver = subprocess.Popen([DRIVER, "--port=0"], stdin=subprocess.DEVNULL, stdout=self.driver_log,
                                       stderr=subprocess.STDOUT)
        port = wait_until(self._told_port, "chromedriver tells its port")
        self.address = f"http://127.0.0.1:{port}"

    def _told_port(self):
        if self.driver.poll() is not None:
            raise AssertionError(f"chromedriver ended with {self.driver.returncode}")
        self.driver_log.seek(0)
        for line in self.driver_log:
            if "started successfully on port" in line:
                return line.split("port")[1].strip(" .\n")
        return None

    def _start_session(self):
        options = {"binary": BROWSER, "args": [*self.flags, f"--user-data-dir={self.profile}"],
                   "prefs": self.preferences}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"},
                  "acceptInsecureCerts": self.is_trusting}
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}}, is_in_session=False)
        self.session = answer["sessionId"]

    def _call(self, method, path, body=None, is_in_session=True):
        url = self.address + (f"/session/{self.session}" if is_in_session else "") + path
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            problem = json.load(error)["value"]
            kind = Stale if problem["error"] == "stale element reference" else AssertionError
            raise kind(f"{method} {path}: {problem['message']}") from None

    def close(self):
        if self.session is not None:
            self._call("DELETE", "")
        if self.driver is not None:
            self.driver.terminate()
            self.driver.wait()
            self.driver_log.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    # ---- what a user does and sees ----

    def open(self, url):
        self._call("POST", "/url", {"url": url})

    def find(self, selector):
        """Handles of all that match, in the order of the page."""
        found = self._call("POST", "/elements", {"using": "css selector", "value": selector})
        return [element[ELEMENT] for element in found]

    def _one(self, selector):
        found = self.find(selector)
        assert len(found) == 1, f"{len(found)} elements match {selector!r}"
        return found[0]

    def click(self, selector):
        self._call("POST", f"/element/{self._one(selector)}/click")

    def choose(self, selector, *paths):
        """Chooses files, as the file dialog would."""
        self._call("POST", f"/element/{self._one(selector)}/value", {"text": "\n".join(map(str, paths))})

    def type(self, selector, text):
        self._call("POST", f"/element/{self._one(selector)}/value", {"text": text})

    def keys(self, text):
        """Types to whatever has the focus."""
        actions = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def _ask_each(self, selector, question):
        while True:
            try:
                return [self._call("GET", f"/element/{element}/{question}") for element in self.find(selector)]
            except Stale:
                continue  # the next page is there: ask that one

    def texts(self, selector):
        return self._ask_each(selector, "text")

    def attributes(self, selector, name):
        return self._ask_each(selector, f"property/{name}")

    def wait_for(self, selector, count=1):
        wait_until(lambda: len(self.find(selector)) == count, f"{count} of {selector!r} on the page")

    @property
    def url(self):
        return self._call("GET", "/url")

    @property
    def title(self):
        return self._call("GET", "/title")

    def script(self, code, *arguments):
        """Waits for it, if it gives a promise."""
        return self._call("POST", "/execute/sync", {"script": code, "args": arguments})

    def assert_speaks_the_dialect(self):
        """The page came in the run's dialect."""
        protocol = self.script("return performance.getEntriesByType('navigation')[0].nextHopProtocol;")
        assert protocol == dialects.BROWSER_PROTOCOL, f"the browser spoke {protocol}"

    def focused(self):
        """The id of the element that has the focus, or its tag."""
        return self.script("const e = document.activeElement; return e.id || e.tagName;")

    def console(self):
        """What the console told since it was asked last: warnings and errors."""
        return [line["message"] for line in self._call("POST", "/se/log", {"type": "browser"})
                if line["level"] in ("WARNING", "SEVERE")]

    def throttle(self, bytes_per_second):
        """From now on the network gives no more, in each direction."""
        conditions = {"offline": False, "latency": 0, "upload_throughput": bytes_per_second,
                      "download_throughput": bytes_per_second}
        self._call("POST", "/chromium/network_conditions", {"network_conditions": conditions})

    def screenshot(self, path):
        pathlib.Path(path).write_bytes(base64.b64decode(self._call("GET", "/screenshot")))


@unittest.skipUnless(is_there(), "chromium or chromium-driver is not installed")
class Case(unittest.TestCase):
    """Tests with a server, a browser at its page, and files to choose."""

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-choose-")))

    def file(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path

    def start(self, javascript=True, flags=(), **options):
        server = self.enterContext(Sluice(**options))
        browser = self.enterContext(Browser(javascript, flags))
        browser.open(server.url + "/")
        browser.assert_speaks_the_dialect()
        return server, browser

    def picture(self, browser, name):
        if SCREENSHOTS:
            browser.screenshot(pathlib.Path(SCREENSHOTS, name + ".png"))

    def stored_content(self, server):
        return sorted(server.path(name).read_bytes() for name in server.stored())
