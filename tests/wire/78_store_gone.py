"""Somebody removes the store under the running program: whoever uploads is told, who downloads gets the rest, and the
program neither falls nor writes elsewhere."""

import os
import shutil
import tempfile
import unittest

import faults
import support
import tus
from support import Sluice, content, quoted, raw

DATA = content(1 << 20)


class Gone:
    engine = None

    def setUp(self):
        self.parent = self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-gone-"))
        root = os.path.join(self.parent, "root")
        self.server = self.enterContext(Sluice(root=root, engine=self.engine, durability="full"))
        self.assertEqual(self.put("before").status, 201)

    def put(self, name, *lines):
        with raw(self.server) as client:
            return client.request("PUT", quoted(name), headers=lines, body=DATA)

    def form(self):
        body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nhello\r\n--b--\r\n'
        with raw(self.server) as client:
            return client.request("POST", "/files/", body, ["Content-Type: multipart/form-data; boundary=b"])

    def make(self):
        with tus.Tus(self.server) as client:
            return client.create(5)

    def assert_all_is_refused(self):
        for answer in (self.put("after"), self.put("deep/er/after"), self.form(), self.make()):
            self.assertEqual(answer.status, 500, answer)
            self.assertIn(answer.code, ("denied", "io-error", "not-found"))
        with raw(self.server) as client:
            self.assertEqual(client.request("GET", "/healthz").status, 200)

    def test_its_folders(self):
        shutil.rmtree(self.server.files)
        shutil.rmtree(self.server.uploads)
        self.assert_all_is_refused()
        with raw(self.server) as client:
            self.assertEqual(client.request("GET", quoted("before")).status, 404)
        self.assertEqual(list(self.server.root.iterdir()), [])

    def test_all_of_it(self):
        shutil.rmtree(self.server.root)
        self.assert_all_is_refused()
        self.assertEqual(os.listdir(self.parent), [])

    def test_a_download_under_way_gets_the_rest(self):
        with raw(self.server) as client:
            client.send(f"GET {quoted('before')} HTTP/1.1\r\nHost: wire.test\r\n\r\n".encode())
            self.assertEqual(client.head()[0], 200)
            shutil.rmtree(self.server.files)
            self.assertEqual(client.take(len(DATA)), DATA)

    def test_an_upload_under_way_is_told(self):
        with raw(self.server) as client:
            client.send(b"PUT /under-way HTTP/1.1\r\nHost: wire.test\r\nContent-Length: %d\r\n"
                        b"Expect: 100-continue\r\n\r\n" % len(DATA))
            self.assertEqual(client.head()[0], 100)
            shutil.rmtree(self.server.files)
            client.send(DATA)
            self.assertEqual(client.answer("PUT").status, 500)


faults.on_each_engine(globals(), Gone)

if __name__ == "__main__":
    unittest.main()
