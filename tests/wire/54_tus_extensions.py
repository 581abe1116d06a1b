"""tus 1.0.0: checksums, also in trailers, and termination."""

import itertools
import unittest

import support
import tus
from tus_case import Case, HELLO, MIB
from support import base64_of, content, digest, raw


def unmatched(algorithm, length):
    return f"{algorithm} {base64_of(bytes(length))}"


def DIGEST_LINES(data):
    """A digest by each of the other fields there are."""
    sha256 = digest("sha-256", data)
    return [f"Repr-Digest: {support.digest_field(data, 'sha-256')}",
            f"Content-Digest: {support.digest_field(data, 'sha-512')}", f"Digest: SHA-256={base64_of(sha256)}",
            f"X-File-Hash: {sha256.hex()}\nX-File-Hash-Function: sha256",
            f"Content-MD5: {base64_of(digest('md5', data))}", f"X-Amz-Checksum-Sha256: {base64_of(sha256)}",
            f"X-Amz-Checksum-Crc32: {base64_of(digest('crc32', data))}"]


CHECKSUMS_NOT = {
    "unknown": ["sha3 " + base64_of(bytes(28)), "SHA-256 " + base64_of(bytes(32)), "crc64 " + base64_of(bytes(8)),
                "x YQ=="],
    "malformed": ["", "sha1", "sha1 ", "sha1 ?", "sha1 YQ==", unmatched("sha1", 19), unmatched("sha1", 21),
                  unmatched("sha256", 20), unmatched("crc32", 5), "sha1 " + base64_of(bytes(20))[:-1],
                  "sha1  " + base64_of(bytes(20)), f"sha1 {base64_of(bytes(20))} x", base64_of(bytes(20)),
                  "sha1:" + base64_of(bytes(20)), "sha1 " + "A" * 5000, "sha1 " + bytes(20).hex()],
}


class Checksum(Case):
    def test_right_ones_of_every_algorithm(self):
        for algorithm in tus.ALGORITHMS:
            data = content(20_000, seed=algorithm)
            with self.subTest(algorithm):
                target = self.tus.made(len(data))
                for begin, end in ((0, 1), (1, 5000), (5000, 5000), (5000, len(data))):
                    piece = data[begin:end]
                    answer = self.tus.patch(target, begin, piece, f"Upload-Checksum: {tus.checksum(algorithm, piece)}")
                    self.assertEqual((answer.status, answer.headers["upload-offset"]), (204, str(end)), answer)
                self.assert_file(answer, data)

    def test_wrong_ones_leave_everything_as_it_was(self):
        for algorithm in tus.ALGORITHMS:
            data = content(20_000, seed=algorithm)
            with self.subTest(algorithm):
                target = self.tus.made(len(data), body=data[:1001])
                for bad in (bytes(len(data) - 1001), b"x", bytes(3095), bytes(4096)):
                    answer = self.tus.patch(target, 1001, bad, f"Upload-Checksum: {tus.checksum(algorithm, data)}")
                    self.assert_code(answer, 460, "checksum-mismatch")
                    self.assert_at(target, 1001)
                piece = data[1001:5000]
                answer = self.tus.patch(target, 1001, piece, f"Upload-Checksum: {tus.checksum(algorithm, piece)}")
                self.assertEqual(answer.status, 204)
                self.finish(target, data)

    def test_one_bit_of_much(self):
        """So much that most of it has long been written when the checksum is known."""
        data = content(12 * MIB + 5)
        target = self.tus.made(len(data), body=data[:5001])
        flipped = data[5001:-1] + bytes([data[-1] ^ 1])
        line = f"Upload-Checksum: {tus.checksum('sha1', data[5001:])}"
        self.assert_code(self.tus.patch(target, 5001, flipped, line), 460, "checksum-mismatch")
        self.assert_at(target, 5001)
        self.assert_code(self.tus.patch(target, 5001, bytes(4 * MIB), line), 460, "checksum-mismatch")
        self.assert_at(target, 5001)
        answer = self.tus.patch(target, 5001, data[5001:], line)
        self.assertEqual(answer.status, 204, answer)
        self.assert_file(answer, data)

    def test_others_are_400_and_nothing_is_taken(self):
        target = self.tus.made(len(HELLO), body=HELLO[:3])
        for kind, values in CHECKSUMS_NOT.items():
            for value in values:
                with self.subTest(kind, value=value[:60]):
                    answer = self.tus.patch(target, 3, HELLO[3:], f"Upload-Checksum: {value}")
                    self.assertEqual(answer.status, 400, answer)
                    self.assert_at(target, 3)
        two = [f"Upload-Checksum: {tus.checksum(name, HELLO[3:])}" for name in ("sha1", "md5")]
        self.assertEqual(self.tus.patch(target, 3, HELLO[3:], *two).status, 400)
        self.finish(target, HELLO)

    def test_other_fields_of_a_patch_are_of_what_it_carries(self):
        piece = content(5000)
        target = self.tus.made(20_000)
        for offset, (right, wrong) in enumerate(zip(DIGEST_LINES(piece[:1]), DIGEST_LINES(piece[1:]))):
            with self.subTest(right):
                answer = self.tus.patch(target, offset, piece, *wrong.split("\n"))
                self.assert_code(answer, 460, "checksum-mismatch")
                self.assert_at(target, offset)
                self.assertEqual(self.tus.patch(target, offset, piece[:1], *right.split("\n")).status, 204)

    def test_several_fields_are_each_to_be_right(self):
        target, sha1 = self.tus.made(len(HELLO)), f"Upload-Checksum: {tus.checksum('sha1', HELLO)}"
        for line in DIGEST_LINES(HELLO[1:]):
            with self.subTest(line):
                self.assert_code(self.tus.patch(target, 0, HELLO, sha1, *line.split("\n")), 460, "checksum-mismatch")
                self.assert_at(target, 0)
        lines = [line for lines in DIGEST_LINES(HELLO) for line in lines.split("\n")]
        self.assertEqual(self.tus.patch(target, 0, HELLO, sha1, *lines).status, 204)

    def test_with_creation(self):
        data = content(70_000)
        kept, stored = self.server.kept(), self.server.stored()
        line = f"Upload-Checksum: {tus.checksum('sha256', data)}"
        for body in (bytes(len(data)), data[:-1], b""):
            answer = self.tus.create(len(data), line, body=body)
            self.assert_code(answer, 460, "checksum-mismatch")
        self.assertEqual((self.server.kept(), self.server.stored()), (kept, stored))
        answer = self.tus.create(len(data), line, body=data)
        self.assertEqual(answer.status, 201)
        self.assert_file(answer, data)

    def test_what_breaks_off_was_never_checked_and_is_not_kept(self):
        data = content(300_000)
        target = self.tus.made(len(data), body=data[:100])
        with raw(self.server) as client:
            head = tus.patch_head(target, 100, len(data) - 100, f"Upload-Checksum: {tus.checksum('sha1', data[100:])}")
            client.send(head + data[100:200_000])
        for _ in range(3):
            self.assert_at(target, 100)
        self.finish(target, data)

    def test_of_a_longer_body_than_its_length(self):
        target = self.tus.made(5)
        answer = self.tus.patch(target, 0, b"123456", f"Upload-Checksum: {tus.checksum('sha1', b'123456')}")
        self.assert_code(answer, 400, "inconsistent-length")
        self.assert_at(target, 0)

    def test_the_right_offset_comes_first(self):
        target = self.tus.made(5)
        answer = self.tus.patch(target, 1, b"1234", f"Upload-Checksum: {tus.checksum('sha1', b'')}")
        self.assert_code(answer, 409, "offset-mismatch")


class ChecksumTrailer(Case):
    TRAILER = "Trailer: Upload-Checksum"

    def test_right_ones(self):
        data = content(100_000)
        target = self.tus.made(len(data))
        for algorithm, begin, end in (("sha1", 0, 1), ("sha256", 1, 4096), ("md5", 4096, 4096), ("crc32", 4096, 70_000),
                                      ("crc32c", 70_000, 80_000), ("sha512", 80_000, len(data))):
            with self.subTest(algorithm):
                piece = data[begin:end]
                answer = self.tus.patch_chunked(target, begin, [piece[:9], piece[9:]], self.TRAILER,
                                                trailers=[f"Upload-Checksum: {tus.checksum(algorithm, piece)}"])
                self.assertEqual((answer.status, answer.headers["upload-offset"]), (204, str(end)), answer)
        self.assert_file(answer, data)

    def test_wrong_ones(self):
        data = content(3 * MIB)
        target = self.tus.made(len(data), body=data[:77])
        for algorithm in tus.ALGORITHMS:
            with self.subTest(algorithm):
                answer = self.tus.patch_chunked(target, 77, [data[77:]], self.TRAILER,
                                                trailers=[f"Upload-Checksum: {tus.checksum(algorithm, HELLO)}"])
                self.assert_code(answer, 460, "checksum-mismatch")
                self.assert_at(target, 77)
        self.finish(target, data)

    def test_beside_a_header_both_are_to_be_right(self):
        target = self.tus.made(len(HELLO))

        def patch(header, header_of, trailer, trailer_of):
            return self.tus.patch_chunked(target, 0, [HELLO], self.TRAILER,
                                          f"Upload-Checksum: {tus.checksum(header, header_of)}",
                                          trailers=[f"Upload-Checksum: {tus.checksum(trailer, trailer_of)}"])

        for header, trailer in itertools.product(("sha1", "crc32"), ("sha1", "sha512")):
            for header_of, trailer_of in ((HELLO, b"x"), (b"x", HELLO), (b"x", b"y")):
                with self.subTest(header, header_of=header_of, trailer=trailer, trailer_of=trailer_of):
                    answer = patch(header, header_of, trailer, trailer_of)
                    self.assertIn((answer.status, answer.code),
                                  ((460, "checksum-mismatch"), (400, "bad-digest")), answer)
                    self.assert_at(target, 0)
        self.assertEqual(patch("sha1", HELLO, "md5", HELLO).status, 204)

    def test_others_are_400(self):
        target = self.tus.made(len(HELLO))
        for value in ("sha3 " + base64_of(bytes(28)), "sha1", "sha1 ?", "sha1 YQ==", ""):
            with self.subTest(value):
                answer = self.tus.patch_chunked(target, 0, [HELLO], self.TRAILER,
                                                trailers=[f"Upload-Checksum: {value}"])
                self.assertEqual(answer.status, 400, answer)
                self.assert_at(target, 0)
        with self.subTest("announced, and not told"):
            answer = self.tus.patch_chunked(target, 0, [HELLO], self.TRAILER)
            self.assertEqual(answer.status, 400, answer)
            self.assert_at(target, 0)
        self.finish(target, HELLO)

    def test_two_of_them_are_400(self):
        target = self.tus.made(len(HELLO))
        right = f"Upload-Checksum: {tus.checksum('sha1', HELLO)}"
        answer = self.tus.patch_chunked(target, 0, [HELLO], self.TRAILER, trailers=[right, right])
        self.assertEqual(answer.status, 400, answer)
        self.assert_at(target, 0)
        self.finish(target, HELLO)

    def test_more_than_2_kib_are_431(self):
        target = self.tus.made(len(HELLO))
        right = f"Upload-Checksum: {tus.checksum('sha1', HELLO)}"
        for trailers in [right, "X-Any: " + "x" * 2048], ["X-Any: " + "x" * 2040, right]:
            answer = self.tus.patch_chunked(target, 0, [HELLO], self.TRAILER, trailers=trailers)
            self.assert_code(answer, 431, "head-too-large")
            self.assert_at(target, 0)
        self.finish(target, HELLO)

    def test_other_trailers_do_no_harm(self):
        target = self.tus.made(len(HELLO))
        answer = self.tus.patch_chunked(target, 0, [HELLO], "Trailer: X-Any",
                                        trailers=["X-Any: thing", "Upload-Offset: 7"])
        self.assertEqual(answer.status, 204, answer)
        self.assert_file(answer, HELLO)


class Termination(Case):
    def test_it_is_gone(self):
        for length, body in ((len(HELLO), None), (len(HELLO), HELLO[:4]), (tus.DEFERRED, HELLO)):
            with self.subTest(length, body=body):
                target = self.tus.made(length, body=body)
                self.assertIn(tus.id_of(target), self.server.kept())
                answer = self.tus.delete(target)
                self.assertEqual((answer.status, answer.body), (204, b""))
                self.assertNotIn(tus.id_of(target), self.server.kept())
                for method, lines, sent in (("HEAD", [], None), ("DELETE", [], None), ("GET", [], None),
                                            ("PATCH", ["Upload-Offset: 0", f"Content-Type: {tus.PATCH_TYPE}"], b"x")):
                    again = self.tus.ask(method, target, *lines, body=sent)
                    self.assertEqual(again.status, 404, again)

    def test_of_a_finished_one_leaves_its_file(self):
        created = self.tus.create(len(HELLO), body=HELLO)
        target = tus.target_of(created.headers["location"])
        self.assertEqual(self.tus.delete(target).status, 204)
        self.assert_gone(target)
        self.assert_file(created, HELLO)

    def test_of_partial_ones_leaves_the_final_one(self):
        parts = [self.tus.made(4, "Upload-Concat: partial", body=b"part") for _ in range(2)]
        final = self.tus.create(None, f"Upload-Concat: final;{' '.join(parts)}")
        for part in parts:
            self.assertEqual(self.tus.delete(part).status, 204)
            self.assert_gone(part)
        self.assert_file(final, b"partpart")


if __name__ == "__main__":
    unittest.main()
