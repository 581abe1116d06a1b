"""Every refusal reaches Chromium as its status. A browser listens only when all is sent: that is taken first."""

import json
import unittest

import webdriver
from refusals import SIZES, Servers

INPUT = "const i = document.createElement('input'); i.type = 'file'; i.id = 'chosen'; document.body.append(i);"
SEND = """
const [method, target, headers, size, way] = arguments;
const body = size > 1 << 20 ? document.getElementById('chosen').files[0] : new Blob([new Uint8Array(size)]);
if (body.size !== size)
  return [0, 'a body of another size'];
if (way === 'fetch')
  return fetch(target, { method, headers, body }).then(
    answer => answer.text().then(text => [answer.status, text]), error => [0, String(error)]);
return new Promise(resolve => {
  const request = new XMLHttpRequest();
  request.open(method, target);
  for (const name in headers)
    request.setRequestHeader(name, headers[name]);
  request.onload = () => resolve([request.status, request.responseText]);
  request.onerror = () => resolve([0, 'error']);
  request.send(body);
});
"""


@unittest.skipUnless(webdriver.is_there(), "chromium or chromium-driver is not installed")
class Chromium(Servers, unittest.TestCase):
    def send_all(self, way, size):
        """What is small is a Blob made in the page; what is large is a chosen file."""
        file = self.folder / "body"
        with open(file, "wb") as sparse:
            sparse.truncate(size)
        with webdriver.Browser() as browser:
            page = None
            for server, code, status, method, target, headers in self.rows():
                if page is not server:
                    page = server
                    browser.open(server.url + "/")
                    browser.assert_speaks_the_dialect()
                    browser.script(INPUT)
                    browser.choose("#chosen", file)
                with self.subTest(code, way=way, size=size):
                    told, text = browser.script(SEND, method, target, headers, size, way)
                    self.assertEqual(told, status, (text, *browser.console()[-1:]))
                    self.assert_told(json.loads(text), code, status)
        self.assert_untouched()

    def test_fetch_of_1_mib(self):
        self.send_all("fetch", SIZES[0])

    def test_fetch_of_200_mib(self):
        self.send_all("fetch", SIZES[1])

    def test_xhr_of_1_mib(self):
        self.send_all("xhr", SIZES[0])

    def test_xhr_of_200_mib(self):
        self.send_all("xhr", SIZES[1])


if __name__ == "__main__":
    unittest.main()
