"""What the tests of tus share: a server, a client of it, and what is looked at again and again."""

import unittest

import tus
from support import Sluice

KIB, MIB = 1 << 10, 1 << 20
CANCEL = 8  # RFC 9113 section 7
HELLO = b"hello, tus\n"
UNKNOWN = "/uploads/" + "a" * 26
PAGE = "https://app.example"
LENGTH_MAX = (1 << 63) - 1
NUMBERS_NOT = ("", "-1", "+1", "0x10", "1_0", "1e3", "1.0", "five", "5 5", "5, 5", "5;5", str(LENGTH_MAX + 1),
               str(1 << 64), str((1 << 64) + 5), "9" * 100, "5\xa0", '"5"', "?1")
REQUEST_HEADERS = {"tus-resumable", "upload-length", "upload-defer-length", "upload-offset", "upload-metadata",
                   "upload-checksum", "upload-concat", "x-request-id", "x-http-method-override", "content-type",
                   "x-amz-checksum-crc32"}
EXPOSED = {"location", "tus-resumable", "tus-version", "tus-extension", "tus-max-size", "tus-checksum-algorithm",
           "upload-offset", "upload-length", "upload-defer-length", "upload-metadata", "upload-concat",
           "upload-expires", "content-location", "etag", "x-request-id", "accept-patch"}


def words(value):
    return {word.strip().lower() for word in value.split(",")}


class Case(unittest.TestCase):
    options = {}

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice(durability="none", **cls.options))

    def setUp(self):
        self.tus = self.enterContext(tus.Tus(self.server))

    def assert_code(self, answer, status, code):
        self.assertEqual((answer.status, answer.code), (status, code), answer)

    def assert_at(self, target, offset):
        self.assertEqual(self.tus.offset(target), offset)

    def assert_gone(self, target):
        answer = self.tus.head(target)
        self.assertEqual(answer.status, 404, answer)

    def assert_file(self, answer, data):
        return tus.assert_file(self, self.server, answer, data)

    def finish(self, target, data):
        """All that is missing, and whether it was put where it belongs."""
        offset = self.tus.offset(target)
        answer = self.tus.patch(target, offset, data[offset:])
        self.assertEqual((answer.status, answer.headers.get("upload-offset")), (204, str(len(data))), answer)
        return self.assert_file(answer, data)
