"""tus 1.0.0: every request of the protocol and every rule of it, with what clients in the field send, and with what
nobody ought to send."""

import itertools
import re
import unittest

import dialects
import support
import tus
from tus_case import Case, HELLO, LENGTH_MAX, MIB, NUMBERS_NOT, UNKNOWN, words
from support import Sluice, UPLOAD_ID, base64_of, content, path_of, quoted, raw, wait_until


class Core(Case):
    """OPTIONS, HEAD, PATCH."""

    def test_options_tell_what_there_is(self):
        for target, lines in itertools.product(("/files/", "/", UNKNOWN), ([], ["Tus-Resumable: 1.0.0"],
                                                                           ["Tus-Resumable: 0.2.2"])):
            with self.subTest(target, lines=lines):
                answer = self.tus.ask("OPTIONS", target, *lines, version=None)
                self.assertEqual(answer.headers["tus-resumable"], tus.VERSION)
                self.assertEqual(answer.status, 204)
                self.assertEqual(answer.headers["tus-version"], tus.VERSION)
                self.assertEqual(words(answer.headers["tus-extension"]), tus.EXTENSIONS)
                self.assertEqual(words(answer.headers["tus-checksum-algorithm"]), set(tus.ALGORITHMS))
                self.assertNotIn("tus-max-size", answer.headers)

    def test_head_and_patch_to_the_end(self):
        data = content(300_001)
        created = self.tus.create(len(data))
        target = tus.target_of(created.headers["location"])
        for end in (1, 2, 4095, 4096, 4097, 65_536, 200_003, len(data)):
            head = self.tus.head(target)
            self.assertEqual(head.status, 200)
            offset = int(head.headers["upload-offset"])
            self.assertEqual(head.headers["upload-length"], str(len(data)))
            self.assertNotIn("upload-defer-length", head.headers)
            self.assertEqual(head.headers["cache-control"], "no-store")
            answer = self.tus.patch(target, offset, data[offset:end])
            self.assertEqual((answer.status, answer.headers["upload-offset"]), (204, str(end)), answer)
            self.assertEqual(answer.body, b"")
        self.assert_file(answer, data)

    def test_location_is_an_upload_of_its_own(self):
        locations = {self.tus.create(5).headers["location"] for _ in range(20)}
        self.assertEqual(len(locations), 20)
        for location in locations:
            self.assertTrue(UPLOAD_ID.fullmatch(tus.id_of(tus.target_of(location))), location)

    def test_an_empty_patch_changes_nothing(self):
        target = self.tus.made(len(HELLO))
        for offset in (0, 4):
            answer = self.tus.patch(target, offset, b"")
            self.assertEqual((answer.status, answer.headers["upload-offset"]), (204, str(offset)))
            self.tus.patch(target, offset, HELLO[offset:4])
        self.finish(target, HELLO)

    def test_a_chunked_patch(self):
        data = content(100_000)
        target = self.tus.made(len(data))
        answer = self.tus.patch_chunked(target, 0, [data[:7], data[7:70_001]])
        self.assertEqual((answer.status, answer.headers["upload-offset"]), (204, "70001"))
        self.finish(target, data)

    def test_other_versions_are_412_and_nothing_is_done(self):
        target = self.tus.made(len(HELLO))
        kept = self.server.kept()
        for version, (method, where, lines, body) in itertools.product(
                ("0.2.2", "1.0.1", "1", "2.0.0", "x", "1.0.0, 1.0.0"),
                (("POST", "/files/", ["Upload-Length: 5"], b""), ("HEAD", target, [], None),
                 ("PATCH", target, ["Upload-Offset: 0", f"Content-Type: {tus.PATCH_TYPE}"], HELLO),
                 ("DELETE", target, [], None))):
            with self.subTest(version, method=method):
                answer = self.tus.ask(method, where, *lines, body=body, version=version)
                self.assertEqual((answer.status, answer.headers["tus-version"]), (412, tus.VERSION), answer)
                if method != "HEAD":
                    self.assertEqual(answer.code, "tus-version")
        self.assertEqual(self.server.kept(), kept)
        self.assert_at(target, 0)

    def test_no_version_is_412_where_only_tus_speaks_so(self):
        target = self.tus.made(len(HELLO))
        kept, stored = self.server.kept(), self.server.stored()
        patch = ["Upload-Offset: 0", f"Content-Type: {tus.PATCH_TYPE}"]
        for method, where, lines, body in (("PATCH", target, patch, HELLO),
                                           ("POST", "/files/", ["Upload-Length: 5"], b""),
                                           ("POST", "/files/", ["Upload-Defer-Length: 1"], b""),
                                           ("POST", "/", ["Upload-Concat: partial", "Upload-Length: 5"], b"")):
            with self.subTest(method, lines=lines):
                answer = self.tus.ask(method, where, *lines, body=body, version=None)
                self.assertEqual((answer.status, answer.headers.get("tus-version")), (412, tus.VERSION), answer)
        self.assertEqual((self.server.kept(), self.server.stored()), (kept, stored))
        self.assert_at(target, 0)

    def test_head_and_get_without_a_version(self):
        target = self.tus.made(len(HELLO), body=HELLO[:4])
        answer = self.tus.ask("HEAD", target, version=None)
        self.assertEqual(answer.status, 204)
        self.assertEqual(answer.headers["upload-offset"], "4")
        self.assertEqual(self.tus.ask("GET", target, version=None).status, 204)

    def test_offsets_that_are_not_its_own_are_409(self):
        target = self.tus.made(len(HELLO), body=HELLO[:5])
        for offset in (0, 4, 6, len(HELLO), 1 << 40, LENGTH_MAX):
            for body in (HELLO[5:], b"", b"x"):
                with self.subTest(offset, body=body):
                    answer = self.tus.patch(target, offset, body)
                    self.assert_code(answer, 409, "offset-mismatch")
                    self.assertEqual(answer.headers.get("upload-offset"), "5")
                    self.assertIn("upload-expires", answer.headers)
        self.finish(target, HELLO)

    def test_offsets_that_are_no_numbers_are_400(self):
        target = self.tus.made(len(HELLO))
        for offset in (None, *NUMBERS_NOT):
            with self.subTest(offset):
                answer = self.tus.patch(target, offset, HELLO)
                self.assertEqual(answer.status, 400, answer)
        self.assertIn("Upload-Offset is missing", self.tus.patch(target, None, HELLO).json()["detail"])
        for lines in (["Upload-Offset: 0", "Upload-Offset: 0"], ["Upload-Offset: 0", "Upload-Offset: 5"]):
            with self.subTest(lines):
                self.assertEqual(self.tus.patch(target, None, HELLO, *lines).status, 400)
        self.finish(target, HELLO)

    def test_other_types_are_415(self):
        target = self.tus.made(len(HELLO))
        for kind in (None, "", "application/octet-stream", "text/plain", "application/offset", "multipart/form-data",
                     "application/offset+octet-streams", "application/x-www-form-urlencoded"):
            with self.subTest(kind):
                answer = self.tus.patch(target, 0, HELLO, kind=kind)
                self.assertEqual(answer.status, 415, answer)
                self.assert_at(target, 0)
        answer = self.tus.patch(target, 0, HELLO, kind="Application/Offset+Octet-Stream")
        self.assertEqual(answer.status, 204, "types have no case")

    def test_more_than_the_length_is_refused(self):
        target = self.tus.made(len(HELLO), body=HELLO[:5])
        answer = self.tus.patch(target, 5, HELLO[5:] + b"x")
        self.assert_code(answer, 400, "inconsistent-length")
        self.assert_at(target, 5)
        answer = self.tus.patch(target, 5, content(5 * MIB))
        self.assert_code(answer, 400, "inconsistent-length")
        self.assert_at(target, 5)
        self.finish(target, HELLO)

    def test_more_than_the_length_in_chunks_is_refused(self):
        for more in (1, 70_000, 5 * MIB):
            with self.subTest(more):
                target = self.tus.made(len(HELLO), body=HELLO[:5])
                answer = self.tus.patch_chunked(target, 5, [HELLO[5:7], content(more + 10)])
                self.assert_code(answer, 400, "inconsistent-length")
                self.assert_at(target, 5)
                self.finish(target, HELLO)

    def test_unknown_ids_are_404(self):
        self.assert_nothing_there(UNKNOWN)

    def test_what_is_no_id_is_404(self):
        for name in ("", "a", "a" * 25, "a" * 27, "A" * 26, "0" * 26, "a" * 25 + "/", "a" * 25 + ".", "." * 26,
                     ".lock", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2e%2e%2ffiles%2fthere", "a" * 1000,
                     "%00" * 26, "%ff" * 26, "tmp-0", "a%2f" + "a" * 24, "aaaaaaaaaaaaaaaaaaaaaaaaa%0a"):
            with self.subTest(name):
                self.assert_nothing_there("/uploads/" + name)
        for target in ("/uploads/../files/", "/uploads/../../etc/passwd", "/uploads/./" + "a" * 26,
                       "/uploads//" + "a" * 26, "/uploads/" + "a" * 26 + "/x", "/uploads/a/../" + "a" * 26):
            with self.subTest(target):
                for method in ("HEAD", "DELETE"):
                    answer = self.tus.ask(method, target)
                    self.assertIn(answer.status, (400, 404, 405), answer)
                    self.assertNotIn("upload-offset", answer.headers)

    def assert_nothing_there(self, target):
        for method, lines, body in (("HEAD", [], None), ("GET", [], None), ("DELETE", [], None),
                                    ("PATCH", ["Upload-Offset: 0", f"Content-Type: {tus.PATCH_TYPE}"], HELLO)):
            answer = self.tus.ask(method, target, *lines, body=body)
            self.assertIn(answer.status, (404, 400, 405) if "%" in target else (404, 405), (method, answer))
            self.assertNotIn("upload-offset", answer.headers, (method, answer))

    def test_other_methods_are_405(self):
        target = self.tus.made(len(HELLO))
        for method in ("PUT", "POST"):
            with self.subTest(method):
                answer = self.tus.ask(method, target, body=HELLO)
                self.assertEqual(answer.status, 405, answer)
                self.assertLessEqual({"head", "patch", "delete"}, words(answer.headers["allow"]))
        self.assert_at(target, 0)
        self.assertEqual(self.tus.ask("PATCH", "/files/", body=HELLO).status, 405)

    def test_every_answer_tells_the_version(self):
        """Also where tus is not heard of: a client that does not see it takes the server for another."""
        for method, target, status in (("POST", "/files/x", 405), ("POST", "/uploads/", 405), ("GET", "/uploads/", 404),
                                       ("GET", "/nowhere", 404), ("GET", "/files/a%00", 400), ("GET", "/healthz", 200),
                                       ("GET", "/files/", 200), ("FOO", "/files/", 405)):
            for version in (tus.VERSION, "0.2.2"):
                with self.subTest(method, target=target, version=version):
                    answer = self.tus.ask(method, target, version=version)  # which looks for it
                    self.assertEqual(answer.status, status, answer)
        with raw(self.server) as client:
            self.assertNotIn("tus-resumable", client.request("GET", "/healthz").headers)

    def test_what_comes_before_a_break_is_kept(self):
        data = content(300_000)
        for sent in (1, 4096, 70_001, 299_999):
            with self.subTest(sent):
                target = self.tus.made(len(data))
                with raw(self.server) as client:
                    client.send(tus.patch_head(target, 0, len(data)) + data[:sent])
                wait_until(lambda: any(f"PATCH {target} " in line for line in self.server.log), "the end of it")
                if dialects.NAME == "h1":
                    self.assert_at(target, sent)
                else:  # a reset goes past what the server has not read yet; HTTP/2's held bytes go with the connection
                    self.assertLessEqual(self.tus.offset(target), sent)
                self.finish(target, data)

    def test_head_of_one_that_is_asked_for_often(self):
        target = self.tus.made(len(HELLO))
        for offset in range(len(HELLO)):
            self.assert_at(target, offset)
            self.assert_at(target, offset)
            self.assertEqual(self.tus.patch(target, offset, HELLO[offset:offset + 1]).status, 204)


class Override(Case):
    def test_it_wins_over_the_method(self):
        target = self.tus.made(len(HELLO))
        lines = ["Upload-Offset: 0", f"Content-Type: {tus.PATCH_TYPE}"]
        answer = self.tus.ask("POST", target, "X-HTTP-Method-Override: PATCH", *lines, body=HELLO[:4])
        self.assertEqual((answer.status, answer.headers["upload-offset"]), (204, "4"), answer)
        answer = self.tus.ask("GET", target, "X-HTTP-Method-Override: HEAD")
        self.assertEqual((answer.headers["upload-offset"], answer.body), ("4", b""), answer)
        answer = self.tus.ask("POST", target, "X-HTTP-Method-Override: HEAD", body=b"")
        self.assertEqual((answer.headers["upload-offset"], answer.body), ("4", b""), answer)
        answer = self.tus.ask("POST", target, "X-HTTP-Method-Override: DELETE", body=b"")
        self.assertEqual(answer.status, 204)
        self.assert_gone(target)
        wait_until(lambda: any(f'"DELETE(POST) {target} ' in line for line in self.server.log), "what it was taken for")

    def test_a_page_that_can_only_post_uploads(self):
        target = self.tus.made(len(HELLO))
        for offset in range(len(HELLO)):
            answer = self.tus.ask("POST", target, "X-HTTP-Method-Override: PATCH", f"Upload-Offset: {offset}",
                                  f"Content-Type: {tus.PATCH_TYPE}", body=HELLO[offset:offset + 1])
            self.assertEqual(answer.status, 204)
        self.assert_file(answer, HELLO)

    def test_unknown_ones_are_refused(self):
        target = self.tus.made(len(HELLO))
        for method in ("FOO", "", "PATCH, DELETE", "patch patch", "x" * 1000, "CONNECT", "PUT"):
            with self.subTest(method):
                answer = self.tus.ask("POST", target, f"X-HTTP-Method-Override: {method}", body=b"")
                self.assertEqual(answer.status, 405, answer)
        self.assert_at(target, 0)

    def test_of_a_file_it_is_none(self):
        self.server.path("stays").write_bytes(HELLO)
        for version in (None, tus.VERSION, "9", ""):
            for override in ("DELETE", "PUT", "HEAD"):
                with self.subTest(version, override=override):
                    lines = [f"X-HTTP-Method-Override: {override}"]
                    lines += [f"Tus-Resumable: {version}"] if version is not None else []
                    answer = self.tus.ask("GET", "/files/stays", *lines, version=None)
                    self.assertEqual((answer.status, answer.body), (200, HELLO))
                    answer = self.tus.ask("POST", "/files/stays", *lines, body=b"x", version=None)
                    self.assertEqual(answer.status, 405, answer)
                    answer = self.tus.ask("GET", "/files/new", *lines, body=b"x", version=None)
                    self.assertEqual(answer.status, 404, answer)
        self.assertEqual(self.server.path("stays").read_bytes(), HELLO)
        self.assertFalse(self.server.path("new").exists())

    def test_without_tus_it_is_none(self):
        target = self.tus.made(len(HELLO))
        answer = self.tus.ask("GET", target, "X-HTTP-Method-Override: DELETE", version=None)
        self.assertEqual(answer.status, 204, answer)
        answer = self.tus.ask("POST", target, "X-HTTP-Method-Override: DELETE", body=b"", version=None)
        self.assertEqual(answer.status, 405, answer)
        self.assert_at(target, 0)


class Creation(Case):
    def test_everywhere_a_post_goes(self):
        for target in ("/files/", "/"):
            with self.subTest(target):
                answer = self.tus.create(5, target=target)
                self.assertEqual(answer.status, 201, answer)
                self.assert_at(tus.target_of(answer.headers["location"]), 0)

    def test_lengths_that_are_no_numbers_are_400(self):
        kept = self.server.kept()
        for length in NUMBERS_NOT:
            with self.subTest(length):
                self.assertEqual(self.tus.create(length).status, 400)
        for lines in ([], ["Upload-Length: 5", "Upload-Length: 5"], ["Upload-Length: 5", "Upload-Length: 6"],
                      ["Upload-Length: 5", "Upload-Defer-Length: 1"], ["Upload-Length: 5", "Upload-Defer-Length: 0"]):
            with self.subTest(lines):
                self.assertEqual(self.tus.create(None, *lines).status, 400)
        self.assertIn("Upload-Length is missing", self.tus.create(None).json()["detail"])
        self.assertEqual(self.server.kept(), kept)

    def test_a_length_that_no_disk_has(self):
        """Room is taken when bytes come."""
        for min_free in ("1M", 0):
            with Sluice(min_free=min_free) as server, tus.Tus(server) as client:
                for length in (1 << 50, LENGTH_MAX):
                    with self.subTest(length, min_free=min_free):
                        self.assert_code(client.create(length, body=HELLO), 507, "no-space")
                        self.assertEqual(server.kept(), [])
                        target = client.made(length)
                        self.assert_code(client.patch(target, 0, HELLO), 507, "no-space")
                        self.assertEqual(client.offset(target), 0)
                        self.assertEqual(client.delete(target).status, 204)

    def test_nothing_is_complete_at_once(self):
        for body in (None, b""):
            with self.subTest(body):
                answer = self.tus.create(0, f"Upload-Metadata: {tus.metadata(filename='empty')}", body=body)
                self.assertEqual(answer.status, 201, answer)
                self.assertTrue(self.assert_file(answer, b"").endswith("-empty"))
                target = tus.target_of(answer.headers["location"])
                head = self.tus.head(target)
                self.assertEqual((head.headers["upload-offset"], head.headers["upload-length"]), ("0", "0"))
                self.assert_file(head, b"")

    def test_with_upload(self):
        data = content(200_000)
        for end in (0, 1, 5000, 70_000, len(data)):
            with self.subTest(end):
                answer = self.tus.create(len(data), body=data[:end])
                self.assertEqual((answer.status, answer.headers["upload-offset"]), (201, str(end)), answer)
                target = tus.target_of(answer.headers["location"])
                self.assert_at(target, end)
                if end == len(data):
                    self.assert_file(answer, data)
                else:
                    self.finish(target, data)

    def test_with_upload_in_chunks(self):
        data = content(200_000)
        lines = ["Tus-Resumable: 1.0.0", f"Upload-Length: {len(data)}", f"Content-Type: {tus.PATCH_TYPE}"]
        head = "\r\n".join(("POST /files/ HTTP/1.1", "Host: wire.test", *lines, "Transfer-Encoding: chunked", "", ""))
        head = head.encode()
        answer = self.tus.say(head + tus.chunked([data[:70_000], data[70_000:]]), "POST")
        self.assertEqual((answer.status, answer.headers["upload-offset"]), (201, str(len(data))))
        self.assert_file(answer, data)

    def test_with_upload_after_100_continue(self):
        data = content(30_000)
        head = ["POST /files/ HTTP/1.1", "Host: wire.test", f"Upload-Length: {len(data)}", "Content-Length: 10000",
                "Tus-Resumable: 1.0.0", "Expect: 100-continue", f"Content-Type: {tus.PATCH_TYPE}"]
        with raw(self.server) as client:
            client.send("\r\n".join((*head, "", "")).encode())
            self.assertEqual(client.answer().status, 100)
            answer = client.send(data[:10_000]).answer()
            self.assertEqual((answer.status, answer.headers["upload-offset"]), (201, "10000"), answer)
            target = tus.target_of(answer.headers["location"])
            client.send(tus.patch_head(target, 10_000, 20_000, "Expect: 100-continue"))
            self.assertEqual(client.answer().status, 100)
            answer = client.send(data[10_000:]).answer()
            self.assertEqual((answer.status, answer.headers["upload-offset"]), (204, "30000"), answer)
        self.assert_file(answer, data)

    def test_what_is_refused_is_refused_before_100_continue(self):
        target = self.tus.made(5, body=b"he")
        for method, where, lines, status in (("POST", "/files/", ["Upload-Length: x"], 400),
                                             ("POST", "/files/", ["Upload-Length: 3", "Upload-Metadata: a ?"], 400),
                                             ("PATCH", target, ["Upload-Offset: 1"], 409),
                                             ("PATCH", UNKNOWN, ["Upload-Offset: 0"], 404)):
            with self.subTest(lines), raw(self.server) as client:
                head = [f"{method} {where} HTTP/1.1", "Host: wire.test", "Tus-Resumable: 1.0.0",
                        "Expect: 100-continue", f"Content-Type: {tus.PATCH_TYPE}", "Content-Length: 3", *lines]
                answer = client.send("\r\n".join((*head, "", "")).encode()).answer()
                self.assertEqual(answer.status, status, answer)

    def test_with_more_than_its_length(self):
        kept, stored = self.server.kept(), self.server.stored()
        answer = self.tus.create(5, body=b"123456")
        self.assert_code(answer, 400, "inconsistent-length")
        self.assertEqual((self.server.kept(), self.server.stored()), (kept, stored))

    def test_a_body_of_another_type_is_no_part_of_it(self):
        kept = self.server.kept()
        answer = self.tus.ask("POST", "/files/", "Upload-Length: 5", "Content-Type: text/plain", body=b"hello")
        self.assert_code(answer, 415, "patch-type")
        self.assertEqual(self.server.kept(), kept)

    def test_one_that_breaks_off_before_its_url_was_told_leaves_nothing(self):
        kept = self.server.kept()
        with raw(self.server) as client:
            client.send(b"POST /files/ HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 100000\r\n"
                        b"Content-Length: 100000\r\nContent-Type: application/offset+octet-stream\r\n\r\n"
                        + bytes(50_000))
        self.tus.made(5)
        wait_until(lambda: len(self.server.kept()) == len(kept) + 1, "nothing but the other one")

    def test_a_public_url(self):
        with Sluice(public_url="https://up.example/base") as server, tus.Tus(server) as client:
            location = client.create(5).headers["location"]
            self.assertTrue(re.fullmatch(r"https://up\.example/base/uploads/" + UPLOAD_ID.pattern, location), location)

    def test_request_ids(self):
        answer = self.tus.create(5, "X-Request-ID: mine")
        self.assertEqual((answer.status, answer.headers["x-request-id"]), (201, "mine"))


class Metadata(Case):
    def test_it_comes_back_as_it_was_given(self):
        for value in (tus.metadata(filename="world_domination_plan.pdf", filetype="application/pdf"), "is_confidential",
                      tus.metadata(filename="ü – 日本.txt") + ",is_confidential", "a ,b ", "a,b,c",
                      tus.metadata(relativePath="null", name="x y", type="image/png", filename="x y"),
                      "a " + base64_of(bytes(range(256))), "k-e.y_!$ " + base64_of(b"v"),
                      ",".join(f"k{number} {base64_of(b'v')}" for number in range(32)),
                      "a " + base64_of(bytes(1000)), ""):
            with self.subTest(value):
                target = self.tus.made(5, f"Upload-Metadata: {value}")
                for _ in range(2):
                    self.assertEqual(self.tus.head(target).headers.get("upload-metadata", ""), value.rstrip())
                    self.tus.patch(target, 0, b"hello")

    def test_what_is_no_metadata_is_400(self):
        kept = self.server.kept()
        for value in ("a ?", "a =", "a YQ", "a YQ===", "a Y Q==", "a YQ==,a YQ==", "a,a", "a YQ==,,b", ",", "a YQ==,",
                      "a  YQ==", "a\tYQ==", "ä YQ==", "a YQ==;b", "a %20", "a YR==b", "a _-8="):
            with self.subTest(value):
                self.assert_code(self.tus.create(5, f"Upload-Metadata: {value}"), 400, "bad-field")
        self.assertEqual(self.server.kept(), kept)

    def test_too_much_is_431_and_told_what(self):
        for value in ("a " + base64_of(bytes(3000)), ",".join(f"k{number}" for number in range(100))):
            with self.subTest(len(value)):
                answer = self.tus.create(5, f"Upload-Metadata: {value}")
                self.assert_code(answer, 431, "upload-fields-too-large")
                self.assertIn("Upload-Metadata (1536 bytes", answer.json()["detail"])

    def test_so_is_too_much_in_all(self):
        """Each of it for itself would not be."""
        name = base64_of(b"a" * 1000)
        self.assertEqual(self.tus.create(5, f"Upload-Metadata: filename {name}").status, 201)
        answer = self.tus.create(5, f"Upload-Metadata: filename {name},filetype {base64_of(b'a/' + b'b' * 100)}",
                                 "Repr-Digest: " + support.digest_field(HELLO, "sha-256", "sha-512"),
                                 "X-Request-Id: " + "r" * 128)
        self.assert_code(answer, 431, "upload-fields-too-large")

    def test_a_mebibyte_is_refused_and_no_harm_done(self):
        line = "Upload-Metadata: a " + base64_of(bytes(MIB))
        if dialects.IS_H2:  # so many frames for one head end the connection: 63_h2_abuse.py
            with self.assertRaises(tus.BROKEN):
                self.tus.ask("POST", "/files/", "Upload-Length: 5", line, body=b"", is_ours=False)
        else:  # before tus is heard of
            answer = self.tus.ask("POST", "/files/", "Upload-Length: 5", line, body=b"", is_ours=False)
            self.assert_code(answer, 431, "head-too-large")
        self.tus.close()
        self.assertEqual(self.tus.create(5).status, 201)

    def test_names_and_types_of_files(self):
        for name, end in (("photo.jpg", "-photo.jpg"), ("ü – 日本.txt", "-ü – 日本.txt"), ("../../etc/passwd", "-passwd"),
                          ("C:\\a\\b.txt", "-b.txt"), ("a" * 300, "a" * 150), ("\0", "-file"), ("..", "-file"),
                          ("x\r\nSet-Cookie: a", "-x__Set-Cookie: a"), ("", "-file"), ("<img src=x>", "-<img src=x>")):
            with self.subTest(name):
                answer = self.tus.create(5, f"Upload-Metadata: {tus.metadata(filename=name, filetype='image/jpeg')}",
                                         body=b"hello")
                path = self.assert_file(answer, b"hello")
                self.assertTrue(path.endswith(end), path)
                self.assertIn(path, self.server.stored())
                with raw(self.server) as client:
                    got = client.request("GET", quoted(path))
                self.assertEqual((got.status, got.body, got.headers["content-type"]), (200, b"hello", "image/jpeg"))

    def test_types_that_are_none(self):
        for kind in ("x", "a/b\r\nX: y", "text/html; charset=\"", "\0", "ü/ü", "a" * 1000):
            with self.subTest(kind):
                line = f"Upload-Metadata: {tus.metadata(filename='a', filetype=kind)}"
                answer = self.tus.create(5, line, body=b"hello")
                self.assertEqual(answer.status, 201, answer)
                self.assert_file(answer, b"hello")

    def test_a_file_name_that_is_no_text(self):
        value = f"filename {base64_of(bytes(range(128, 256)))},filetype {base64_of(bytes([255, 254]))}"
        answer = self.tus.create(5, f"Upload-Metadata: {value}", body=b"hello")
        self.assertEqual(answer.status, 201, answer)
        self.assert_file(answer, b"hello")

    def test_the_newer_names_of_clients(self):
        """Some send `name` and `type` alone."""
        answer = self.tus.create(5, f"Upload-Metadata: {tus.metadata(name='a.png', type='image/png')}", body=b"hello")
        self.assert_file(answer, b"hello")


class Deferred(Case):
    def test_it_is_told_once_and_stays(self):
        target = self.tus.made(tus.DEFERRED)
        for offset in (0, 4):
            head = self.tus.head(target).headers
            self.assertEqual((head["upload-defer-length"], head["upload-offset"]), ("1", str(offset)))
            self.assertNotIn("upload-length", head)
            self.assertEqual(self.tus.patch(target, offset, HELLO[offset:offset + 4]).status, 204)
        answer = self.tus.patch(target, 8, HELLO[8:9], f"Upload-Length: {len(HELLO)}")
        self.assertEqual((answer.status, answer.headers["upload-offset"]), (204, "9"), answer)
        head = self.tus.head(target).headers
        self.assertEqual(head["upload-length"], str(len(HELLO)))
        self.assertNotIn("upload-defer-length", head)
        for length in (len(HELLO) - 1, len(HELLO) + 1, 0, 9):
            with self.subTest(length):
                self.assertEqual(self.tus.patch(target, 9, b"x", f"Upload-Length: {length}").status, 400)
                self.assert_at(target, 9)
        answer = self.tus.patch(target, 9, HELLO[9:], f"Upload-Length: {len(HELLO)}")  # the same again is no change
        self.assertEqual(answer.status, 204)
        self.assert_file(answer, HELLO)

    def test_told_by_the_last_patch(self):
        target = self.tus.made(tus.DEFERRED, body=HELLO[:3])
        answer = self.tus.patch(target, 3, HELLO[3:], f"Upload-Length: {len(HELLO)}")
        self.assertEqual(answer.status, 204)
        self.assert_file(answer, HELLO)

    def test_told_by_an_empty_patch(self):
        target = self.tus.made(tus.DEFERRED, body=HELLO)
        self.assertEqual(self.server.stored().count(tus.id_of(target)), 0)
        answer = self.tus.patch(target, len(HELLO), b"", f"Upload-Length: {len(HELLO)}")
        self.assertEqual(answer.status, 204, answer)
        self.assert_file(answer, HELLO)

    def test_told_to_be_nothing(self):
        target = self.tus.made(tus.DEFERRED)
        answer = self.tus.patch(target, 0, b"", "Upload-Length: 0")
        self.assertEqual(answer.status, 204, answer)
        self.assert_file(answer, b"")

    def test_less_than_has_come_or_comes_is_refused(self):
        target = self.tus.made(tus.DEFERRED, body=HELLO[:5])
        for length, body in ((4, b""), (0, b""), (4, b"x"), (6, b"xy")):
            with self.subTest(length, body=body):
                self.assertEqual(self.tus.patch(target, 5, body, f"Upload-Length: {length}").status, 400)
                head = self.tus.head(target).headers
                self.assertEqual((head["upload-offset"], head.get("upload-defer-length")), ("5", "1"))
        self.assertEqual(self.tus.patch(target, 5, HELLO[5:], f"Upload-Length: {len(HELLO)}").status, 204)

    def test_other_values_are_400(self):
        for value in ("0", "2", "-1", "", "true", "1, 1", "01", "1.0", "?1"):
            with self.subTest(value):
                self.assertEqual(self.tus.create(None, f"Upload-Defer-Length: {value}").status, 400)
        target = self.tus.made(tus.DEFERRED)
        for value in NUMBERS_NOT:
            with self.subTest(length=value):
                self.assertEqual(self.tus.patch(target, 0, b"x", f"Upload-Length: {value}").status, 400)
        self.assert_at(target, 0)


class Bounded(Case):
    options = {"max_size": "100k"}

    def test_the_limit_is_told(self):
        answer = self.tus.ask("OPTIONS", "/files/")
        self.assertEqual(answer.headers["tus-max-size"], "100000")

    def test_more_is_413(self):
        kept = self.server.kept()
        for length in (100_001, 1 << 40, LENGTH_MAX):
            for body in (None, HELLO):
                with self.subTest(length, body=body):
                    self.assert_code(self.tus.create(length, body=body), 413, "too-large")
        self.assertEqual(self.server.kept(), kept)
        self.assertEqual(self.tus.create(100_000).status, 201)

    def test_more_of_one_without_a_length_is_413(self):
        data = content(100_000)
        target = self.tus.made(tus.DEFERRED, body=data[:99_999])
        self.assert_code(self.tus.patch(target, 99_999, b"xx"), 413, "too-large")
        self.assert_code(self.tus.patch(target, 99_999, b"x", "Upload-Length: 100001"), 413, "too-large")
        self.assert_at(target, 99_999)
        answer = self.tus.patch(target, 99_999, data[99_999:], "Upload-Length: 100000")
        self.assert_file(answer, data)
        answer = self.tus.create(tus.DEFERRED, body=content(100_001))
        self.assert_code(answer, 413, "too-large")

    def test_so_is_a_final_one_of_too_much(self):
        parts = [self.tus.made(60_000, "Upload-Concat: partial", body=bytes(60_000)) for _ in range(2)]
        answer = self.tus.create(None, f"Upload-Concat: final;{' '.join(parts)}")
        self.assert_code(answer, 413, "too-large")


class Limits(unittest.TestCase):
    def test_only_so_many_unfinished_ones(self):
        with Sluice(max_uploads=2) as server, tus.Tus(server) as client:
            one, two = client.made(5), client.made(5)
            answer = client.create(5)
            self.assertEqual((answer.status, answer.code), (503, "too-many-uploads"), answer)
            self.assertEqual(client.patch(one, 0, b"hello").status, 204)
            three = client.made(5)
            self.assertEqual(client.create(5).status, 503)
            self.assertEqual(client.delete(two).status, 204)
            self.assertEqual(client.create(5).status, 201)
            self.assertEqual(client.offset(three), 0)
            server.kill()
            server.start()
            client.close()
            self.assertEqual(client.create(5).status, 503, "after a restart they still count")

    def test_only_so_many_bytes(self):
        with Sluice(max_upload_bytes="1M") as server, tus.Tus(server) as client:
            one = client.made(900_000)
            answer = client.create(200_000)
            self.assertEqual((answer.status, answer.code), (503, "too-many-uploads"), answer)
            self.assertEqual(client.create(100_000).status, 201)
            self.assertEqual(client.delete(one).status, 204)
            self.assertEqual(client.create(200_000).status, 201)

    def test_they_expire(self):
        with Sluice(upload_expiry=1) as server, tus.Tus(server) as client:
            answer = client.create(5)
            self.assertIn("upload-expires", answer.headers)
            target = tus.target_of(answer.headers["location"])
            done = client.create(5, body=b"hello")
            wait_until(lambda: server.kept() == [], "all of them gone")
            for target in (target, tus.target_of(done.headers["location"])):
                for method in ("HEAD", "DELETE"):
                    self.assertEqual(client.ask(method, target).status, 404)
            self.assertEqual(server.path(path_of(done.headers["content-location"])).read_bytes(), b"hello")

    def test_expires_on_every_answer_while_it_will(self):
        with Sluice(upload_expiry=100) as server, tus.Tus(server) as client:
            answer = client.create(5)
            target = tus.target_of(answer.headers["location"])
            answers = [answer, client.create(5, body=b"he"), client.create(tus.DEFERRED), client.head(target),
                       client.patch(target, 0, b"he"), client.patch(target, 2, b"l"), client.head(target)]
            for answer in answers:
                self.assertIn("upload-expires", answer.headers, answer)


if __name__ == "__main__":
    unittest.main()
