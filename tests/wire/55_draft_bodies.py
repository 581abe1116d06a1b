"""The IETF draft: bodies that are too large, checked, cut, taken over, and what is told while they come."""

import contextlib
import random
import unittest

import dialects
from draft import (Case, DATA, Exchange, INCONSISTENT, MIB, MISMATCHING, NONE, PARTIAL, VERSIONS, is_complete,
                   lines_of, parse_limits)
from support import base64_of, content, digest, digest_field, parse_digest_field, wait_until


class Limits(Case):
    options = {"durability": "none", "max_size": 100_000, "max_append_size": 60_000}
    told = {"max-size": 100_000, "max-append-size": 60_000}

    def assert_too_large(self, answer):
        self.problem(answer, 413, "too-large")
        self.assertEqual({key: value for key, value in parse_limits(answer.headers).items() if key != "max-age"},
                         self.told)
        self.assertEqual(is_complete(8, answer.headers), False)

    def test_are_told(self):
        exchange = Exchange(self.server, "PUT", f"/files/{self.name()}", lines_of(8, False), 10)
        interim = exchange.interim()
        answer = exchange.send(DATA[:10]).answer()
        for headers in (interim.headers, answer.headers, self.head(self.target(answer))):
            limits = parse_limits(headers)
            self.assertGreater(limits.pop("max-age"), 7 * 86400 - 60)
            self.assertEqual(limits, self.told)

    def test_creation(self):
        for words, complete, size, told in (("all", True, 100_001, {}), ("a piece", False, 60_001, {}),
                                            ("whole, but too much for one", True, 60_001, {}),
                                            ("length", False, 10, {"length": 100_001}),
                                            ("length and nothing", False, 0, {"length": 100_001})):
            with self.subTest(words):
                before = self.server.kept()
                exchange = Exchange(self.server, "PUT", f"/files/{self.name()}", lines_of(8, complete, **told), size)
                answer = exchange.answer()  # before the body
                self.assert_too_large(answer)
                self.assertEqual((answer.interims, self.server.kept()), ([], before))

    def test_append(self):
        name = self.name()
        _, target = self.create(8, name=name)
        exchange = Exchange(self.server, "PATCH", target, lines_of(8, True, 0, kind=PARTIAL), 60_001)
        self.assert_too_large(exchange.answer())
        self.assertEqual(self.offset(target), 0)
        self.assertEqual(self.append(target, 0, DATA[:60_000], False).status, 204)
        self.assert_too_large(self.append(target, 60_000, DATA[60_000:100_001]))
        self.assertEqual(self.offset(target), 60_000)
        self.assert_final(self.append(target, 60_000, DATA[60_000:100_000]), 8, name, DATA[:100_000])

    def test_invalid_after_too_much(self):
        """What runs past its length is nobody's (section 4.4.2), be it told before the body or seen in it."""
        for is_chunked in (False, True):
            for complete in (False, True):
                with self.subTest(is_chunked=is_chunked, complete=complete):
                    name = self.name()
                    _, target = self.create(8, DATA[:10], name=name, length=1000)
                    answer = self.append(target, 10, DATA[10:1001], complete, is_chunked=is_chunked)
                    self.problem(answer, 400, "inconsistent-length", INCONSISTENT)
                    self.assertEqual(is_complete(8, answer.headers), False)
                    self.assert_gone(target)
                    self.assertFalse(self.server.path(name).exists())

    def test_append_in_chunks(self):
        _, target = self.create(8)
        self.assert_too_large(self.append(target, 0, DATA[:60_001], False, is_chunked=True))
        self.assertLessEqual(self.offset(target), 60_000)
        _, target = self.create(8, DATA[:60_000])
        self.assert_too_large(self.append(target, 60_000, DATA[60_000:100_001], False, is_chunked=True))
        self.assertLessEqual(self.offset(target), 100_000)

    def test_ordinary_ones_are_not_appends(self):
        self.assertEqual(self.ask("PUT", f"/files/{self.name()}", [], DATA[:100_000]).status, 201)


class Digests(Case):
    options = {"durability": "none", "digest": "sha-256,sha-512"}

    def assert_final(self, answer, version, name, data, status=201):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(is_complete(version, answer.headers), True)
        self.assertEqual(self.server.path(name).read_bytes(), data)

    def test_of_the_whole(self):
        for version in VERSIONS:
            for algorithm in ("sha-256", "sha-512", "md5", "crc32c"):
                with self.subTest(version=version, algorithm=algorithm):
                    more = [f"Repr-Digest: {digest_field(DATA, algorithm)}"]
                    name = self.name()
                    answer = self.ask("PUT", f"/files/{name}", lines_of(version, True, more=more), DATA)
                    self.assert_final(answer, version, name, DATA)
                    name = self.name()
                    _, target = self.create(version, DATA[:5000], name=name, more=more)
                    answer = self.append(target, 5000, DATA[5000:], version=version)
                    self.assert_final(answer, version, name, DATA)

    def test_of_another_whole(self):
        more = [f"Repr-Digest: {digest_field(b'other', 'sha-256')}"]
        name = self.name()
        answer = self.ask("PUT", f"/files/{name}", lines_of(8, True, more=more), DATA)
        self.assert_mismatch(answer, True)
        self.assert_gone(self.target(answer.interims[0]))
        _, target = self.create(8, DATA[:5000], name=name, more=more)
        answer = self.append(target, 5000, DATA[5000:])
        said = self.assert_mismatch(answer, True)
        self.assertEqual(said["actual-digest"], base64_of(digest("sha-256", DATA)))
        self.assert_gone(target)
        self.assertFalse(self.server.path(name).exists())

    def assert_mismatch(self, answer, of_whole):
        said = self.problem(answer, 400, "digest-mismatch")
        self.assertEqual(is_complete(8, answer.headers), of_whole)
        return said

    def test_of_a_piece(self):
        for version in VERSIONS:
            for field in ("Content-Digest", "Repr-Digest"):  # of a PATCH both are of what it carries
                with self.subTest(version=version, field=field):
                    name = self.name()
                    right = [f"{field}: {digest_field(DATA[100:], 'sha-256')}"]
                    other = [f"{field}: {digest_field(b'other', 'sha-256')}"]
                    first = [f"Content-Digest: {digest_field(DATA[:100], 'sha-256')}"]
                    _, target = self.create(version, DATA[:100], name=name, more=first)
                    for is_chunked in (False, True):
                        answer = self.append(target, 100, DATA[100:], version=version, more=other,
                                             is_chunked=is_chunked)
                        self.problem(answer, 400, "digest-mismatch")
                        self.assertEqual(is_complete(version, answer.headers), False)
                        self.assertEqual(self.offset(target), 100)
                    answer = self.append(target, 100, DATA[100:], version=version, more=right)
                    self.assert_final(answer, version, name, DATA)

    def test_of_the_first_piece(self):
        name = self.name()
        wrong = [f"Content-Digest: {digest_field(b'other', 'sha-256')}"]
        answer = self.ask("PUT", f"/files/{name}", lines_of(8, False, more=wrong), DATA[:100])
        self.assert_mismatch(answer, False)
        self.assertEqual(self.offset(self.target(answer.interims[0])), 0)  # the 104 told of it; it is as it was
        both = [f"Content-Digest: {digest_field(DATA[:100], 'sha-256')}",
                f"Repr-Digest: {digest_field(DATA, 'sha-256')}"]
        _, target = self.create(8, DATA[:100], name=name, more=both)
        self.assert_final(self.append(target, 100, DATA[100:]), 8, name, DATA)

    def test_of_an_empty_piece(self):
        name = self.name()
        wrong, right = ([f"Content-Digest: {digest_field(piece, 'sha-256')}"] for piece in (b"other", b""))
        answer = self.ask("PUT", f"/files/{name}", lines_of(8, False, more=wrong))
        self.assert_mismatch(answer, False)
        _, target = self.create(8, name=name, more=right)
        self.assert_mismatch(self.append(target, 0, more=wrong), False)
        self.assert_final(self.append(target, 0, more=right), 8, name, b"")

    def test_that_are_none(self):
        _, target = self.create(8)
        self.problem(self.append(target, 0, DATA, more=["Content-Digest: sha-256=abc"]), 400, "bad-digest")
        self.problem(self.append(target, 0, DATA, more=["Content-Digest: sha3=:AAAA:"]), 400, "unsupported-digest")
        self.assertEqual(self.offset(target), 0)

    def test_wanted(self):
        for want, algorithms in ((None, {"sha-256", "sha-512"}), ("sha-512=3, sha-256=10", {"sha-256"}),
                                 ("sha-512=1", {"sha-512"})):
            with self.subTest(want):
                more = [f"Want-Repr-Digest: {want}"] if want else []
                expected = {name: base64_of(digest(name, DATA)) for name in algorithms}
                answer = self.ask("PUT", f"/files/{self.name()}", lines_of(8, True, more=more), DATA)
                self.assertEqual(parse_digest_field(answer.headers["repr-digest"]), expected)
                _, target = self.create(8, DATA[:9])
                answer = self.append(target, 9, DATA[9:], more=more)
                self.assertEqual(parse_digest_field(answer.headers["repr-digest"]), expected)
                _, target = self.create(8, DATA[:9], more=more)  # it is asked of the whole
                for body in (DATA[9:], b""):
                    answer = self.append(target, len(DATA) - len(body), body)
                    self.assertEqual(parse_digest_field(answer.headers["repr-digest"]), expected)
                other = ["Want-Repr-Digest: sha-256=1"]  # and asked again, the last word counts
                answer = self.append(target, len(DATA), more=other)
                self.assertEqual(set(parse_digest_field(answer.headers["repr-digest"])), {"sha-256"})


class Cut(Case):
    """A connection that breaks, and another that goes on."""

    options = {"durability": "data"}

    def cut(self, exchange, data):
        """Sends `data` and breaks off; what came to the server is for it to say."""
        with contextlib.suppress(OSError):
            exchange.send(data)
        exchange.close()

    def test_optimistic(self):
        for version in VERSIONS:
            for path in ("/files/", "/"):
                with self.subTest(version=version, path=path):
                    name, size = self.name(), len(DATA)
                    promise = [f"Repr-Digest: {digest_field(DATA, 'sha-256')}"]
                    exchange = Exchange(self.server, "PUT", path + name, lines_of(version, True, more=promise), size)
                    target = self.target(exchange.interim())
                    self.cut(exchange, DATA[:200_001])
                    state = self.head(target, version)
                    offset = int(state["upload-offset"])
                    self.assertLessEqual(offset, 200_001)
                    self.assertEqual((is_complete(version, state), state["upload-length"]), (False, str(size)))
                    self.assertFalse(self.server.path(name).exists())
                    answer = self.append(target, offset, DATA[offset:], version=version)
                    self.assert_final(answer, version, name, DATA)

    def test_what_came_is_kept(self):
        """All that was sent, once the server knows that no more comes."""
        name = self.name()
        exchange = Exchange(self.server, "PUT", f"/files/{name}", lines_of(8, True), len(DATA))
        target = self.target(exchange.interim())
        path = self.server.uploads / target.rpartition("/")[2]
        exchange.send(DATA[:200_000])
        lines = len(self.server.log)
        exchange.close()
        wait_until(lambda: any(f"PUT /files/{name} " in line for line in self.server.log[lines:]), "the request ends")
        offset = self.offset(target)
        if dialects.NAME == "h1":
            self.assertEqual(offset, 200_000)
        else:  # a reset goes past what the server has not read yet; HTTP/2's held bytes go with the connection
            self.assertLessEqual(offset, 200_000)
        self.assertEqual(path.read_bytes()[:offset], DATA[:offset])

    def test_again_and_again(self):
        dice = random.Random(55)
        data = content(3 * MIB + 5, seed=55)
        name, offsets = self.name(), [0]
        _, target = self.create(8, name=name, length=len(data))
        for _ in range(12):
            begin = offsets[-1]
            piece = data[begin:begin + dice.randrange(300_000)]
            is_chunked = dice.random() < 0.3
            exchange = self.append_slowly(target, begin, len(data) - begin, is_chunked)
            self.cut(exchange, piece)
            offset = self.offset(target)
            self.assertTrue(begin <= offset <= begin + len(piece), (begin, offset, len(piece)))
            offsets.append(offset)
        self.assert_final(self.append(target, offsets[-1], data[offsets[-1]:]), 8, name, data)


class Takeover(Case):
    """Who asks for an upload ends whoever holds it, and is told what came so far."""

    def hold(self, end=150_000):
        """An append that hangs. Its exchange, its name and target; the server has all of DATA[:end] or less."""
        name = self.name()
        _, target = self.create(8, DATA[:50_000], name=name)
        exchange = self.append_slowly(target, 50_000, len(DATA) - 50_000)
        exchange.send(DATA[50_000:end])
        return exchange, name, target

    def assert_ended(self, exchange):
        answer = exchange.answer()
        self.problem(answer, 409, "taken-over")
        self.assertEqual(is_complete(8, answer.headers), False)

    def test_head(self):
        exchange, name, target = self.hold()
        offset = self.offset(target)
        self.assertTrue(50_000 <= offset <= 150_000, offset)
        self.assert_ended(exchange)
        self.assert_final(self.append(target, offset, DATA[offset:]), 8, name, DATA)

    def test_append(self):
        exchange, name, target = self.hold(50_000)
        answer = self.append(target, 50_000, DATA[50_000:])
        self.assert_ended(exchange)
        self.assert_final(answer, 8, name, DATA)

    def test_append_elsewhere(self):
        """What it is told to go on at is the last word of the one before."""
        exchange, name, target = self.hold()
        answer = self.append(target, 0, DATA)
        self.problem(answer, 409, "offset-mismatch", MISMATCHING)
        offset = int(answer.headers["upload-offset"])
        self.assertTrue(50_000 <= offset <= 150_000, offset)
        self.assert_ended(exchange)
        self.assert_final(self.append(target, offset, DATA[offset:]), 8, name, DATA)

    def test_delete(self):
        exchange, name, target = self.hold()
        self.assertEqual(self.ask("DELETE", target, lines_of(8)).status, 204)
        self.assert_ended(exchange)
        self.assertEqual(self.ask("HEAD", target, lines_of(8)).status, 404)
        self.assertFalse(self.server.path(name).exists())

    def test_creation(self):
        name = self.name()
        exchange = Exchange(self.server, "PUT", f"/files/{name}", lines_of(8, True), len(DATA))
        target = self.target(exchange.interim())
        exchange.send(DATA[:100_000])
        offset = self.offset(target)
        self.assertLessEqual(offset, 100_000)
        self.assert_ended(exchange)
        self.assert_final(self.append(target, offset, DATA[offset:]), 8, name, DATA)


class Progress(Case):
    """104 tells how much needs not be sent again; a few times, for some proxies stand no more."""

    size = 96 * MIB

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = content(MIB) * 96

    def follow(self, exchange, version, begin):
        """Sends the rest but for its end, waits for a 104 with an offset, sends the end. The answer."""
        for at in range(begin, self.size - MIB, MIB):
            exchange.send(self.data[at:at + MIB])
        if version != 3:
            self.assertIn("upload-offset", exchange.interim().headers)
        return exchange.send(self.data[self.size - MIB:]).answer()

    def assert_progress(self, interims, version, begin):
        offsets = [int(interim.headers["upload-offset"]) for interim in interims]
        self.assertEqual(offsets, sorted(set(offsets)))
        self.assertTrue(all(begin < offset <= self.size for offset in offsets), offsets)
        self.assertLessEqual(len(offsets), 3)
        self.assertEqual(bool(offsets), version != 3)
        for interim in interims:
            self.assertEqual(interim.headers["upload-draft-interop-version"], str(version))
            self.assertNotIn("location", interim.headers)

    def test_creation(self):
        for version in (8, 3):
            with self.subTest(version=version):
                exchange = Exchange(self.server, "PUT", f"/files/{self.name()}", lines_of(version, True), self.size)
                self.target(exchange.interim())
                answer = self.follow(exchange, version, 0)
                self.assertEqual(answer.status, 201)
                self.assert_progress(answer.interims[1:], version, 0)

    def test_append(self):
        for version in (8, 5, NONE):
            with self.subTest(version=version):
                _, target = self.create(8, self.data[:MIB])
                exchange = Exchange(self.server, "PATCH", target, lines_of(version, True, MIB, kind=PARTIAL),
                                    self.size - MIB)
                if version is NONE:
                    answer = exchange.send(self.data[MIB:]).answer()
                    self.assertEqual((answer.status, answer.interims), (201, []))
                else:
                    answer = self.follow(exchange, version, MIB)
                    self.assert_progress(answer.interims, version, MIB)
                self.assertEqual(answer.headers["repr-digest"], digest_field(self.data, "sha-256"))


if __name__ == "__main__":
    unittest.main()
