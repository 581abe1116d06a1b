"""tus 1.0.0: what becomes of finished uploads, concatenation, and what else meets an upload."""

import re
import threading
import unittest

import dialects
import support
import tus
from tus_case import CANCEL, Case, EXPOSED, HELLO, MIB, PAGE, REQUEST_HEADERS, UNKNOWN, words
from support import (Sluice, UPLOAD_ID, base64_of, content, digest, parse_digest_field, path_of, quoted, raw,
                     wait_until)


class Finished(Case):
    def done(self, data=HELLO, **pairs):
        answer = self.tus.create(len(data), f"Upload-Metadata: {tus.metadata(filename='a.txt', **pairs)}", body=data)
        self.assertEqual(answer.status, 201)
        return tus.target_of(answer.headers["location"]), answer

    def test_the_last_answer_tells_of_the_file(self):
        data = content(70_000)
        target = self.tus.made(len(data), f"Upload-Metadata: {tus.metadata(filename='a.bin', filetype='a/b')}",
                               body=data[:4])
        path = self.finish(target, data)
        self.assertTrue(re.fullmatch(r"\d{4}/\d\d/\d\d/" + UPLOAD_ID.pattern + r"-a\.bin", path), path)
        with raw(self.server) as client:
            got = client.request("GET", quoted(path))
        self.assertEqual((got.status, got.body, got.headers["content-type"]), (200, data, "a/b"))
        self.assertIn("a.bin", got.headers["content-disposition"])
        self.assertEqual(parse_digest_field(got.headers["repr-digest"])["sha-256"], base64_of(digest("sha-256", data)))

    def test_it_is_listed_with_its_digest(self):
        data = content(5000, seed="listed")
        _, answer = self.done(data)
        path = path_of(answer.headers["content-location"])
        with raw(self.server) as client:
            page = client.request("GET", f"/files/?prefix={path}").json()["files"]
        self.assertEqual([(entry["size"], entry["digest"]["sha-256"]) for entry in page],
                         [(len(data), base64_of(digest("sha-256", data)))])

    def test_its_own_url_still_answers(self):
        target, created = self.done()
        head = self.tus.head(target)
        self.assertEqual(head.status, 200, head)
        self.assertEqual((head.headers["upload-offset"], head.headers["upload-length"]), (str(len(HELLO)),) * 2)
        self.assertEqual(head.headers["content-location"], created.headers["content-location"])
        self.assertEqual(head.headers["upload-metadata"], tus.metadata(filename="a.txt"))
        got = self.tus.ask("GET", target)
        self.assertEqual((got.status, got.body), (200, HELLO), got)

    def test_get_by_who_speaks_no_version_that_is_known(self):
        target, _ = self.done()
        for version in (None, "4", "9", "x"):
            lines = [f"Upload-Draft-Interop-Version: {version}"] if version else []
            with self.subTest(version):
                got = self.tus.ask("GET", target, *lines, version=None)
                self.assertEqual((got.status, got.body), (200, HELLO), got)

    def test_nothing_can_be_added(self):
        target, created = self.done()
        for offset in (0, len(HELLO)):
            self.assert_code(self.tus.patch(target, offset, b"x"), 403, "upload-done")
        for offset in (0, len(HELLO) + 1):
            self.assertEqual(self.tus.patch(target, offset, b"").status, 403)
        self.assertEqual(self.tus.patch(target, len(HELLO), b"x", "Upload-Length: 100").status, 403)
        self.assert_file(created, HELLO)

    def test_the_last_patch_may_be_asked_again(self):
        """Its answer was lost, and the client sends the rest of nothing."""
        target, created = self.done()
        answer = self.tus.patch(target, len(HELLO), b"")
        self.assertEqual((answer.status, answer.headers["upload-offset"]), (204, str(len(HELLO))), answer)
        self.assertEqual(answer.headers["content-location"], created.headers["content-location"])

    def test_its_file_may_be_deleted(self):
        target, created = self.done()
        path = path_of(created.headers["content-location"])
        with raw(self.server) as client:
            self.assertEqual(client.request("DELETE", quoted(path)).status, 204)
            self.assertEqual(client.request("GET", quoted(path)).status, 404)
        for method in ("HEAD", "GET", "HEAD", "DELETE"):
            self.assertEqual(self.tus.ask(method, target).status, 404, method)
        self.assertNotIn(path, self.server.stored(), "it came back")

    def test_after_a_restart(self):
        with Sluice() as server, tus.Tus(server) as client:
            answer = client.create(len(HELLO), body=HELLO)
            target = tus.target_of(answer.headers["location"])
            server.kill()
            server.start()
            client.close()
            head = client.head(target)
            self.assertEqual(head.headers["upload-offset"], str(len(HELLO)))
            self.assertEqual(head.headers["content-location"].split("/files/")[1],
                             answer.headers["content-location"].split("/files/")[1])
            tus.assert_file(self, server, head, HELLO)
            self.assertEqual(len(server.stored()), 1)

    def test_a_name_that_exists(self):
        for conflict, status in (("error", 403), ("rename", 204), ("overwrite", 204)):
            with self.subTest(conflict), Sluice(name="{filename}", conflict=conflict) as server, \
                    tus.Tus(server) as client:
                lines = [f"Upload-Metadata: {tus.metadata(filename='a')}"]
                target = client.made(5, *lines, body=b"he")
                self.assertEqual(client.create(3, *lines, body=b"old").status, 201)
                answer = client.patch(target, 2, b"llo")
                self.assertEqual(answer.status, status, answer)
                if status == 204:
                    tus.assert_file(self, server, answer, b"hello")
                else:
                    self.assertEqual(answer.code, "exists")
                self.assertEqual(server.path("a").read_bytes(), b"hello" if conflict == "overwrite" else b"old")

    def test_a_name_that_is_free_again(self):
        """Nothing has to be sent again for it. Until then it is not told to be complete: clients would believe it."""
        with Sluice(name="{filename}") as server, tus.Tus(server) as client:
            lines = [f"Upload-Metadata: {tus.metadata(filename='a')}"]
            target = client.made(5, *lines, body=b"he")
            server.path("a").write_bytes(b"old")
            self.assertEqual(client.patch(target, 2, b"llo").status, 403)
            self.assertEqual(client.head(target).status, 403)
            server.path("a").unlink()
            head = client.head(target)
            self.assertEqual((head.status, head.headers["upload-offset"]), (200, "5"))
            tus.assert_file(self, server, head, b"hello")


class Concatenation(Case):
    def parts(self, *datas):
        return [self.tus.made(len(data), "Upload-Concat: partial", body=data) for data in datas]

    def final(self, targets, *lines):
        return self.tus.create(None, f"Upload-Concat: final;{' '.join(targets)}", *lines)

    def assert_final(self, answer, data):
        self.assertEqual(answer.status, 201, answer)
        target = tus.target_of(answer.headers["location"])
        head = self.tus.head(target)
        self.assertEqual((head.headers["upload-offset"], head.headers["upload-length"]), (str(len(data)),) * 2)
        self.assertTrue(head.headers["upload-concat"].startswith("final;"), head)
        self.assert_file(head, data)
        self.assert_file(answer, data)
        return target

    def test_a_final_one_is_its_parts_in_order(self):
        datas = [content(size, seed=size) for size in (4096, 1, 5000, 70_001, 4095)]
        stored = self.server.stored()
        targets = self.parts(*datas)
        self.assertEqual(self.server.stored(), stored, "a part is no file")
        line = f"Upload-Metadata: {tus.metadata(filename='whole.bin', filetype='a/b')}"
        for order in ((0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (1, 1, 1), (3,), (0, 3, 0), (2, 4)):
            with self.subTest(order):
                answer = self.final([targets[number] for number in order], line)
                whole = b"".join(datas[number] for number in order)
                target = self.assert_final(answer, whole)
                head = self.tus.head(target)
                self.assertEqual(head.headers["upload-metadata"], line.split(": ")[1])
                self.assertTrue(path_of(head.headers["content-location"]).endswith("-whole.bin"))

    def test_large_parts(self):
        datas = [content(size, seed=size) for size in (6 * MIB, 3 * MIB + 1, 5 * MIB - 7)]
        self.assert_final(self.final(self.parts(*datas)), b"".join(datas))

    def test_urls_are_absolute_or_relative(self):
        targets = self.parts(b"one,", b"two,")
        absolute = [self.server.url + target for target in targets]
        self.assert_final(self.final(absolute), b"one,two,")
        self.assert_final(self.final([absolute[1], targets[0]]), b"two,one,")
        # Whose name stands before the path is for proxies to know: nothing is fetched, the id alone tells which it is.
        self.assert_final(self.final(["https://other.example" + targets[0], targets[1]]), b"one,two,")

    def test_partial_ones_tell_what_they_are(self):
        target = self.tus.made(5, "Upload-Concat: partial", "Upload-Metadata: a YQ==")
        for offset in (0, 3):
            head = self.tus.head(target).headers
            self.assertEqual((head["upload-concat"], head["upload-offset"], head["upload-length"]),
                             ("partial", str(offset), "5"))
            self.tus.patch(target, offset, b"hello"[offset:offset + 3])
        head = self.tus.head(target).headers
        self.assertEqual((head["upload-concat"], head["upload-offset"]), ("partial", "5"))
        self.assertNotIn("content-location", head)
        self.assertEqual(self.tus.patch(target, 5, b"x").status, 403)

    def test_parts_without_bytes(self):
        targets = self.parts(b"", b"middle", b"")
        self.assert_final(self.final(targets), b"middle")
        self.assert_final(self.final(targets[:1]), b"")

    def test_a_part_whose_length_comes_late(self):
        part = self.tus.made(tus.DEFERRED, "Upload-Concat: partial")
        self.assertEqual(self.tus.patch(part, 0, HELLO, f"Upload-Length: {len(HELLO)}").status, 204)
        self.assert_final(self.final([part]), HELLO)

    def test_final_ones_take_no_patch(self):
        answer = self.final(self.parts(b"one", b"two"))
        target = tus.target_of(answer.headers["location"])
        for offset, body in ((0, b"x"), (6, b"x"), (3, b"two")):
            self.assertEqual(self.tus.patch(target, offset, body).status, 403)
        self.assert_final(answer, b"onetwo")

    def test_one_of_parts_that_are_still_running(self):
        for break_after in (None, "first"):
            one = self.tus.made(4, "Upload-Concat: partial")
            two = self.tus.made(3, "Upload-Concat: partial", body=b"t")
            stored = self.server.stored()
            answer = self.final([one, two])
            self.assertEqual(answer.status, 201, answer)
            target = tus.target_of(answer.headers["location"])
            head = self.tus.head(target).headers
            self.assertTrue(head["upload-concat"].startswith("final;"))
            self.assertEqual(head["upload-length"], "7", "it can be told")
            self.assertNotEqual(head.get("upload-offset"), "7")
            answer = self.tus.patch(target, 0, b"x")
            self.assert_code(answer, 403, "upload-done")
            self.assertIn("made of its parts", answer.json()["detail"])
            self.assertEqual(self.tus.patch(one, 0, b"one,").status, 204)
            self.assertNotEqual(self.tus.head(target).headers.get("upload-offset"), "7")
            self.assertEqual(self.server.stored(), stored)
            if break_after:
                self.assertEqual(self.tus.delete(two).status, 204)
                self.assertEqual(self.tus.head(target).status, 404)
                self.assertEqual(self.server.stored(), stored)
                continue
            self.assertEqual(self.tus.patch(two, 1, b"wo").status, 204)
            wait_until(lambda: self.tus.head(target).headers.get("upload-offset") == "7", "the final one")
            self.assert_file(self.tus.head(target), b"one,two")

    def test_what_is_no_part_is_refused(self):
        good, = self.parts(b"good")
        whole = self.tus.made(5, body=b"hello")
        final = tus.target_of(self.final([good]).headers["location"])
        gone, = self.parts(b"gone")
        self.tus.delete(gone)
        kept, stored = self.server.kept(), self.server.stored()
        for url in (whole, final, gone, UNKNOWN, "https://evil.example" + UNKNOWN, "https://evil.example/files/a",
                    "/files/x", "../../etc/passwd", "/uploads/../../etc/passwd", "/uploads/", "/uploads", "uploads",
                    "http://", "//", "?", "file:///etc/passwd", "%2e%2e", "/uploads/..", "/uploads/.lock",
                    "/uploads/" + "a" * 1000, good + "x", good[:-1], good + "/", "a\tb", "ü"):
            for urls in ([url], [good, url], [url, good]):
                with self.subTest(urls):
                    answer = self.final(urls)
                    self.assertIn(answer.status, (400, 404, 431), answer)
        wait_until(lambda: self.server.kept() == kept, "what was begun is dropped behind its answer")
        self.assertEqual(self.server.stored(), stored)

    def test_other_values_are_400(self):
        good, = self.parts(b"good")
        kept = self.server.kept()
        for value in ("", "part", "final", "final;", "final; ", f"final {good}", f"final,{good}", f"Final;{good}",
                      "partial;", f"partial;{good}", "partial, partial", f";{good}"):
            with self.subTest(value):
                length = None if "inal" in value else 5
                self.assertEqual(self.tus.create(length, f"Upload-Concat: {value}").status, 400)
        self.assertEqual(self.tus.create(None, "Upload-Concat: partial").status, 400, "without a length")
        self.assertEqual(self.server.kept(), kept)

    def test_a_final_one_has_no_length_and_no_body_of_its_own(self):
        targets, kept = self.parts(b"one", b"two"), self.server.kept()
        for length, body in ((6, None), (5, None), (tus.DEFERRED, None), (None, b"hello")):
            with self.subTest(length, body=body):
                answer = self.tus.create(length, f"Upload-Concat: final;{' '.join(targets)}", body=body)
                self.assertEqual(answer.status, 400, answer)
        self.assertEqual(self.server.kept(), kept)

    def test_a_final_one_has_no_body_to_be_checked(self):
        """A digest of nothing would look like one of the whole."""
        targets, kept = self.parts(b"one", b"two"), self.server.kept()
        for data in (b"", b"onetwo"):
            for line in (f"Upload-Checksum: {tus.checksum('sha1', data)}",
                         f"Content-Digest: {support.digest_field(data, 'sha-256')}", "Trailer: Upload-Checksum"):
                with self.subTest(line):
                    answer = self.final(targets, line)
                    self.assert_code(answer, 400, "unsupported-digest")
                    self.assertIn("final upload has no body", answer.json()["detail"])
        lines = ["Tus-Resumable: 1.0.0", f"Upload-Concat: final;{' '.join(targets)}", "Trailer: Upload-Checksum"]
        head = "\r\n".join(("POST /files/ HTTP/1.1", "Host: wire.test", *lines, "Transfer-Encoding: chunked", "", ""))
        trailers = [f"Upload-Checksum: {tus.checksum('sha1', b'')}"]
        self.assertEqual(self.tus.say(head.encode() + tus.chunked([], trailers), "POST").status, 400)
        self.assertEqual(self.server.kept(), kept)

    def test_the_digest_of_the_whole_is_checked(self):
        targets = self.parts(b"one", b"two")
        stored = self.server.stored()
        answer = self.final(targets, f"Repr-Digest: {support.digest_field(b'twoone', 'sha-256')}")
        self.assert_code(answer, 400, "digest-mismatch")
        self.assertEqual(self.server.stored(), stored)
        self.assert_final(self.final(targets, f"Repr-Digest: {support.digest_field(b'onetwo', 'sha-256')}"), b"onetwo")

    def test_so_many_parts_are_refused_with_a_word(self):
        good, = self.parts(b"good")
        kept = self.server.kept()
        for count in (70, 100, 300):
            with self.subTest(count):
                answer = self.final([good] * count)
                self.assert_code(answer, 431, "upload-fields-too-large")
                self.assertIn("Upload-Concat", answer.json()["detail"])
        with self.subTest("more than any head"):
            try:
                line = f"Upload-Concat: final;{' '.join([good] * 10_000)}"
                answer = self.tus.ask("POST", "/files/", line, body=b"", is_ours=False)
                self.assert_code(answer, 431, "head-too-large")
            except tus.BROKEN:
                pass  # while it was still being sent
            self.tus.close()
        self.assertEqual(self.server.kept(), kept)
        self.assert_final(self.final([good] * 50), b"good" * 50)

    def test_parts_at_once_as_clients_send_them(self):
        """parallelUploads of tus-js-client: each part on a connection of its own, halves each."""
        data = content(2 * MIB)
        cuts = [len(data) * number // 4 for number in range(5)]
        targets, errors = [None] * 4, []

        def upload(number):
            piece = data[cuts[number]:cuts[number + 1]]
            try:
                with tus.Tus(self.server) as client:
                    targets[number] = client.made(len(piece), "Upload-Concat: partial")
                    for begin in (0, len(piece) // 2):  # said again with each request
                        answer = client.patch(targets[number], begin, piece[begin:begin + len(piece) // 2],
                                              "Upload-Concat: partial")
                        assert answer.status == 204, answer
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=upload, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])
        self.assert_final(self.final(targets), data)


class Pages(Case):
    """What a browser's page of another origin needs."""

    options = {"cors_origin": PAGE}

    def test_preflight(self):
        target = self.tus.made(5)
        for where, method in (("/files/", "POST"), ("/", "POST"), (target, "PATCH"), (target, "HEAD"),
                              (target, "DELETE"), (UNKNOWN, "PATCH")):
            with self.subTest(where, method=method):
                answer = self.tus.ask("OPTIONS", where, f"Origin: {PAGE}", f"Access-Control-Request-Method: {method}",
                                      "Access-Control-Request-Headers: tus-resumable,upload-offset,content-type",
                                      version=None)
                self.assertEqual(answer.status, 204)
                self.assertEqual(answer.headers["access-control-allow-origin"], PAGE)
                self.assertIn(method.lower(), words(answer.headers["access-control-allow-methods"]))
                self.assertLessEqual(REQUEST_HEADERS, words(answer.headers["access-control-allow-headers"]))

    def test_answers_can_be_read(self):
        origin, answers = f"Origin: {PAGE}", []
        answers.append(self.tus.create(5, origin))
        target = tus.target_of(answers[0].headers["location"])
        answers += [self.tus.ask("HEAD", target, origin), self.tus.patch(target, 3, b"x", origin),
                    self.tus.patch(target, 0, b"hello", origin), self.tus.patch(target, 0, b"hello", origin),
                    self.tus.ask("DELETE", target, origin), self.tus.ask("HEAD", target, origin),
                    self.tus.ask("HEAD", target, origin, version="0"), self.tus.create("x", origin)]
        self.assertEqual([answer.status // 100 for answer in answers], [2, 2, 4, 2, 4, 2, 4, 4, 4])
        for answer in answers:
            self.assertEqual(answer.headers["access-control-allow-origin"], PAGE, answer)
            self.assertLessEqual(EXPOSED, words(answer.headers["access-control-expose-headers"]))


class Stalled(unittest.TestCase):
    def test_what_came_before_a_timeout_is_kept(self):
        data = content(100_000)
        with Sluice(body_timeout=1) as server, tus.Tus(server) as client:
            target = client.made(len(data))
            with raw(server) as stalled:
                self.assert_cut(server, stalled.send(tus.patch_head(target, 0, len(data)) + data[:60_000]),
                                "body-timeout")
            self.assertEqual(client.offset(target), 60_000)
            answer = client.patch(target, 60_000, data[60_000:])
            tus.assert_file(self, server, answer, data)

    def test_so_is_a_creation(self):
        head = (b"POST /files/ HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 9\r\n"
                b"Content-Length: 9\r\nContent-Type: application/offset+octet-stream\r\n\r\n")
        with Sluice(body_timeout=1) as server:
            with raw(server) as stalled:
                self.assert_cut(server, stalled.send(head + b"stall"), "body-timeout")
            wait_until(lambda: server.kept() == [], "nobody knows its URL, and nothing is kept of it")

    @dialects.only("h1")
    def test_half_closed(self):
        data = content(100_000)
        with Sluice() as server, tus.Tus(server) as client:
            target = client.made(len(data))
            with raw(server) as half:
                half.send(tus.patch_head(target, 0, len(data)) + data[:60_000]).half_close()
                self.assert_cut(server, half, "incomplete-body")
            self.assertEqual(client.offset(target), 60_000)

    @dialects.only("h2c", "h2-tls")
    def test_other_streams_are_not_cut(self):
        with Sluice(body_timeout=1) as server, tus.Tus(server) as client:
            target = client.made(10)
            with raw(server) as both:
                self.assert_cut(server, both.send(tus.patch_head(target, 0, 10) + b"stall"), "body-timeout")
                self.assertEqual(both.h2.answers[1].reset, CANCEL)
                both.send(b"ends!")  # for nobody
                self.assertEqual(both.request("GET", "/healthz").status, 200)

    def assert_cut(self, server, client, why):
        """Clients go on after a break, and not after 4xx. The log tells why."""
        with self.assertRaises(tus.BROKEN):
            self.fail(f"it was answered: {client.answer()}")
        wait_until(lambda: any(f"error={why} " in line for line in server.log), "the log tells why")


class Mixed(Case):
    """Both dialects at once."""

    def test_an_upload_of_the_draft_that_goes_on_by_tus_ends_at_its_length(self):
        for is_chunked in (False, True):
            with self.subTest(is_chunked=is_chunked):
                made = self.tus.ask("POST", "/files/", "Upload-Draft-Interop-Version: 8", "Upload-Complete: ?0",
                                    f"Upload-Length: {len(HELLO)}", body=HELLO[:2], version=None)
                self.assertEqual(made.status, 201, made)
                target = tus.target_of(made.headers["location"])
                self.assertEqual(self.tus.patch(target, 2, HELLO[2:5]).status, 204)
                self.assertNotIn("content-location", self.tus.head(target).headers)
                answer = (self.tus.patch_chunked(target, 5, [HELLO[5:]]) if is_chunked
                          else self.tus.patch(target, 5, HELLO[5:]))
                self.assertEqual(answer.status, 204, answer)
                self.assert_file(answer, HELLO)

    def test_who_tries_to_speak_the_draft_does_not_speak_tus(self):
        for version in ("8", "4", "x"):
            with self.subTest(version):
                answer = self.tus.ask("POST", "/files/?name=plain", f"Upload-Draft-Interop-Version: {version}",
                                      f"Upload-Length: {len(HELLO)}", "Upload-Complete: yes", body=HELLO, version=None)
                self.assertEqual(answer.status, 201, answer)
                self.assertEqual(self.server.path(path_of(answer.headers["location"])).read_bytes(), HELLO)


if __name__ == "__main__":
    unittest.main()
