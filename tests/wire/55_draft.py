"""The IETF draft of resumable uploads, row by row, as each version of its clients speaks it: created whole or in
pieces, asked about, gone on with, ended, and refused."""

import unittest

import dialects
from draft import Case, DATA, Exchange, LINES, NONE, PARTIAL, VERSIONS, is_complete, lines_of, parse_limits
from support import (ORIGIN, Sluice, base64_of, digest, digest_field, etag_of, path_of, raw, sha256_of,
                     wait_until)


class Discover(Case):
    def test_limits_are_told(self):
        many = Sluice(durability="none", max_size="5M", max_append_size="1M")
        with Sluice(durability="none", max_size=2**62) as large, many:
            for server, limits in ((self.server, {"min-size": 0}), (large, {"max-size": 10**15 - 1}),
                                   (many, {"max-size": 5_000_000, "max-append-size": 1_000_000})):
                for target in ("/files/", "/", "/files/any", "/any", *(["*"] if dialects.IS_H1 else [])):
                    with self.subTest(limits=limits, target=target):
                        answer = Exchange(server, "OPTIONS", target).answer()
                        self.assertIn(answer.status, (200, 204))
                        self.assertEqual(parse_limits(answer.headers), limits)
                        self.assertIn(PARTIAL, answer.headers["accept-patch"].split(", "))
                        self.assertNotIn("upload-complete", answer.headers)

    def test_of_an_upload(self):
        _, target = self.create(8)
        for there in (target, "/uploads/" + "a" * 26):
            answer = self.ask("OPTIONS", there)
            self.assertEqual(answer.status, 204)
            self.assertEqual(answer.headers["allow"], "GET, HEAD, PATCH, DELETE, OPTIONS")
            self.assertEqual(parse_limits(answer.headers), {"min-size": 0})
            self.assertIn(PARTIAL, answer.headers["accept-patch"].split(", "))


class Optimistic(Case):
    """All of it in the first request."""

    def assert_announced(self, interim, version):
        """The first 104."""
        headers = interim.headers
        self.assertEqual((interim.status, headers["upload-draft-interop-version"]), (104, str(version)))
        self.assertNotIn("upload-offset", headers)
        if version < 6:
            self.assertNotIn("upload-limit", headers)
        else:
            age = parse_limits(headers)["expires" if version == 6 else "max-age"]
            self.assertTrue(7 * 86400 - 60 <= age <= 7 * 86400, age)
        return self.target(interim)

    def test_put(self):
        for version in VERSIONS:
            for told in ({}, {"length": len(DATA)}):
                with self.subTest(version=version, **told):
                    name = self.name()
                    answer = self.ask("PUT", f"/files/{name}", lines_of(version, True, **told), DATA)
                    self.assertEqual(len(answer.interims), 1)
                    self.assert_final(answer, version, name, DATA)
                    self.assertEqual(answer.headers["upload-draft-interop-version"], str(version))
                    target = self.assert_announced(answer.interims[0], version)
                    state = self.head(target, version)
                    self.assertEqual(is_complete(version, state), True)
                    self.assertEqual((state["upload-offset"], state["upload-length"]), (str(len(DATA)),) * 2)

    def test_chunked(self):
        for told in ({}, {"length": len(DATA)}):
            with self.subTest(**told):
                name = self.name()
                answer = self.ask("PUT", f"/{name}", lines_of(8, True, **told), DATA, is_chunked=True)
                self.assert_announced(answer.interims[0], 8)
                self.assert_final(answer, 8, name, DATA)

    def test_empty(self):
        for version in (*VERSIONS, NONE):
            for is_chunked in (False, True):
                with self.subTest(version=version, is_chunked=is_chunked):
                    name = self.name()
                    answer = self.ask("PUT", f"/files/{name}", lines_of(version, True), b"", is_chunked)
                    self.assert_final(answer, version, name, b"")

    def test_post(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                more = ["Content-Disposition: inline; filename=\"a.txt\"; filename*=UTF-8''%c3%a4.txt",
                        "Content-Type: text/x-mine"]
                answer = self.ask("POST", "/files/", lines_of(version, True, more=more), DATA)
                self.assert_announced(answer.interims[0], version)
                said = answer.json()
                self.assertEqual((said["name"], said["type"], said["size"]), ("ä.txt", "text/x-mine", len(DATA)))
                self.assertEqual(said["digest"], {"sha-256": base64_of(digest("sha-256", DATA))})
                self.assertEqual(answer.headers["location"], said["url"])
                self.assertTrue(path_of(said["url"]).endswith("-ä.txt"), said["url"])
                self.assertEqual(self.server.path(path_of(said["url"])).read_bytes(), DATA)

    def test_answers_as_asked(self):
        as_json = self.ask("PUT", f"/files/{self.name()}", lines_of(8, True, more=["Accept: application/json"]), DATA)
        self.assertEqual(as_json.json()["sha256"], sha256_of(DATA))
        as_text = self.ask("POST", "/?name=there.bin", lines_of(8, True, more=["Accept: text/plain"]), DATA)
        self.assertEqual(as_text.body.decode(), as_text.headers["location"] + "\n")
        self.assertTrue(as_text.headers["location"].endswith("-there.bin"))

    def test_without_a_version_there_is_no_interim(self):
        for line in ([], ["4"], ["9"], ["2"], ["8.0"], ["\"8\""], ["?1"], ["eight"], ["8", "8"]):
            with self.subTest(line):
                name = self.name()
                more = [f"{LINES['draft']}: {value}" for value in line]
                answer = self.ask("PUT", f"/files/{name}", lines_of(NONE, True, more=more), DATA)
                self.assertEqual(answer.interims, [])
                self.assertNotIn("upload-draft-interop-version", answer.headers)
                self.assert_final(answer, NONE, name, DATA)

    def test_without_a_version_nothing_is_left_of_a_cut_one(self):
        before, name = self.server.kept(), self.name()
        exchange = Exchange(self.server, "PUT", f"/files/{name}", lines_of(NONE, True), len(DATA))
        exchange.send(DATA[:len(DATA) // 2]).close()
        wait_until(lambda: self.server.kept() == before and self.server.temp_files() == [], "nothing is left")
        self.assertFalse(self.server.path(name).exists())

    def test_what_is_no_boolean_is_nothing(self):
        for value in ("1", "true", "\"?1\"", "?2", "?1, ?0", "", "?1 ?1"):
            for version, field in ((8, "Upload-Complete"), (3, "Upload-Incomplete"), (3, "Upload-Complete"),
                                   (8, "Upload-Incomplete")):
                if field == "Upload-Incomplete" and version == 8:
                    value = "?0"  # it is of version 3 alone
                elif field == "Upload-Complete" and version == 3:
                    value = "?1"
                with self.subTest(value=value, version=version, field=field):
                    name = self.name()
                    answer = self.ask("PUT", f"/files/{name}", lines_of(version, more=[f"{field}: {value}"]), DATA)
                    self.assertEqual((answer.status, answer.interims), (201, []))
                    self.assertIsNone(is_complete(version, answer.headers))
                    self.assertEqual(self.server.path(name).read_bytes(), DATA)

    def test_parameters_are_nothing(self):
        name = self.name()
        more = ["Upload-Complete: ?1;a=b", "Upload-Draft-Interop-Version: 8;c", f"Upload-Length: {len(DATA)};d=\"e\""]
        answer = self.ask("PUT", f"/files/{name}", lines_of(NONE, more=more), DATA)
        self.assertEqual(len(answer.interims), 1)
        self.assert_final(answer, 8, name, DATA)

    def test_continue_is_sent_too(self):
        name = self.name()
        exchange = Exchange(self.server, "PUT", f"/files/{name}", lines_of(8, True, more=["Expect: 100-continue"]),
                            len(DATA))
        self.assertEqual({exchange.next().status, exchange.next().status}, {100, 104})
        self.assert_final(exchange.send(DATA).answer(), 8, name, DATA)

    @unittest.skipUnless(dialects.IS_H1, "of HTTP/1.0")
    def test_nothing_comes_before_the_answer_to_http_1_0(self):
        name = self.name()
        with raw(self.server) as client:
            head = [f"PUT /files/{name} HTTP/1.0", "Connection: keep-alive", f"Content-Length: {len(DATA)}",
                    *lines_of(8, True)]
            client.send("\r\n".join(head).encode() + b"\r\n\r\n" + DATA)
            answer = client.answer("PUT")
        self.assertEqual(answer.status, 201)  # and no 104
        self.assertEqual(self.server.path(name).read_bytes(), DATA)

    def test_a_form_is_a_form(self):
        form = (b"--b\r\nContent-Disposition: form-data; name=f; filename=a.txt\r\n\r\nhello\r\n--b--\r\n")
        kind = "multipart/form-data; boundary=b"
        answer = self.ask("POST", "/files/", lines_of(8, True, kind=kind), form)
        self.assertEqual((answer.status, answer.json()["files"][0]["size"]), (201, 5))
        self.problem(self.ask("POST", "/files/", lines_of(8, False, kind=kind), form), 400, "bad-form")

    def test_content_range(self):
        lines = lines_of(8, True, more=["Content-Range: bytes 0-4/10"])
        self.problem(self.ask("PUT", f"/files/{self.name()}", lines, b"hello"), 400, "content-range")


class Proxied(Case):
    MARKS = ("Via: 1.1 front", "Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https",
             "X-Real-IP: 192.0.2.1",
             *(["Connection: close"] if dialects.IS_H1 else []))  # nginx that was told nothing leaves no other

    def test_nothing_comes_before_the_answer(self):
        for mark in self.MARKS:
            with self.subTest(mark):
                name = self.name()
                answer = self.ask("PUT", f"/files/{name}", lines_of(8, True, more=[mark]), DATA)
                self.assertEqual(answer.interims, [])
                self.assert_final(answer, 8, name, DATA)


class ProxiedByGoodOnes(Case):
    options = {"durability": "none", "interim": "on"}

    def test_it_comes_all_the_same(self):
        for mark in Proxied.MARKS:
            with self.subTest(mark):
                name = self.name()
                answer = self.ask("PUT", f"/files/{name}", lines_of(8, True, more=[mark]), DATA)
                self.assertEqual(len(answer.interims), 1)
                self.target(answer.interims[0])
                self.assert_final(answer, 8, name, DATA)


class NoInterim(Case):
    options = {"durability": "none", "interim": "off"}

    def test_nothing_comes_before_the_answer(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                name = self.name()
                answer = self.ask("PUT", f"/files/{name}", lines_of(version, True), DATA)
                self.assertEqual(answer.interims, [])
                self.assert_final(answer, version, name, DATA)

    def test_nothing_is_left_of_a_cut_one(self):
        before = self.server.kept()
        exchange = Exchange(self.server, "PUT", f"/files/{self.name()}", lines_of(8, True), len(DATA))
        exchange.send(DATA[:100_000]).close()
        wait_until(lambda: self.server.kept() == before and self.server.temp_files() == [], "nothing is left")

    def test_careful_goes_on_as_ever(self):
        name = self.name()
        answer, target = self.create(name=name)
        self.assertEqual(answer.interims, [])
        answer = self.append(target, 0, DATA)
        self.assertEqual(answer.interims, [])
        self.assert_final(answer, 8, name, DATA)


class Pieces(Case):
    """Careful: the upload first, then its bytes."""

    def test_nothing_at_first(self):
        for version in (*VERSIONS, NONE):
            with self.subTest(version=version):
                name = self.name()
                answer, target = self.create(version, name=name)
                self.assertEqual((answer.interims, answer.body), ([], b""))
                self.assertEqual(is_complete(version, answer.headers), False)
                self.assertEqual(answer.headers["upload-offset"], "0")
                self.assertEqual("upload-limit" in answer.headers, version not in (3, 5))
                state = self.head(target, version)
                self.assertEqual((is_complete(version, state), state["upload-offset"]), (False, "0"))
                self.assertNotIn("upload-length", state)
                self.assertNotIn("etag", state)
                self.assertEqual(self.server.path(name).exists(), False)
                answer = self.append(target, 0, DATA, version=version)
                self.assert_final(answer, version, name, DATA)

    def test_a_piece_at_first(self):
        for version in (*VERSIONS, NONE):
            for told in ({}, {"length": len(DATA)}):
                with self.subTest(version=version, **told):
                    name = self.name()
                    answer, target = self.create(version, DATA[:1000], name=name, **told)
                    self.assertEqual(is_complete(version, answer.headers), False)
                    self.assertEqual(answer.headers["upload-offset"], "1000")
                    if version is not NONE:
                        self.assertEqual(answer.interims[0].headers["location"], answer.headers["location"])
                    self.assertEqual(self.head(target).get("upload-length"), str(told["length"]) if told else None)
                    self.assert_final(self.append(target, 1000, DATA[1000:], version=version), version, name, DATA)

    def test_many_pieces(self):
        """Ends at blocks and beside them."""
        ends = [1, 4095, 4096, 4097, 8192, 65_536, 100_000, 100_000, 299_999, len(DATA)]
        for version in VERSIONS:
            with self.subTest(version=version):
                name, begin = self.name(), 0
                _, target = self.create(version, name=name)
                for end in ends:
                    answer = self.append(target, begin, DATA[begin:end], False, version,
                                         is_chunked=end % 2 == 0)
                    self.assertEqual(answer.status, 201 if version in (3, 5) else 204, answer)
                    self.assertEqual(is_complete(version, answer.headers), False)
                    self.assertEqual(answer.headers["upload-offset"], str(end))
                    self.assertNotIn("location", answer.headers)
                    self.assertEqual(self.offset(target), end)
                    begin = end
                self.assert_final(self.append(target, begin, version=version), version, name, DATA)

    def test_all_bytes_are_not_yet_the_end(self):
        name = self.name()
        _, target = self.create(8, DATA, name=name, length=len(DATA))
        state = self.head(target)
        self.assertEqual((state["upload-offset"], is_complete(8, state)), (str(len(DATA)), False))
        self.assertFalse(self.server.path(name).exists())
        self.assert_final(self.append(target, len(DATA)), 8, name, DATA)

    def test_all_bytes_are_the_end_to_tus_js_client(self):
        """It speaks 5 and 6, and does not mark the last piece of a file."""
        for version in (5, 6):
            for size in (0, 1000, len(DATA)):
                with self.subTest(version=version, size=size):
                    name = self.name()
                    answer = self.ask("PUT", f"/files/{name}", lines_of(version, False, length=len(DATA)), DATA[:size])
                    if size < len(DATA):
                        target = self.target(answer)
                        self.assertEqual(is_complete(version, answer.headers), False)
                        answer = self.append(target, size, DATA[size:-1], False, version)
                        self.assertEqual(is_complete(version, answer.headers), False)
                        answer = self.append(target, len(DATA) - 1, DATA[-1:], False, version)
                    self.assert_final(answer, version, name, DATA)

    def test_no_bytes_are_not_yet_the_end(self):
        name = self.name()
        _, target = self.create(8, name=name, length=0)
        self.assertEqual(is_complete(8, self.head(target)), False)
        self.assertFalse(self.server.path(name).exists())
        self.assert_final(self.append(target, 0), 8, name, b"")

    def test_length_that_becomes_known(self):
        name = self.name()
        _, target = self.create(name=name)
        self.assertNotIn("upload-length", self.head(target))
        self.append(target, 0, DATA[:10], False, length=len(DATA))
        self.assertEqual(self.head(target)["upload-length"], str(len(DATA)))
        self.assert_final(self.append(target, 10, DATA[10:], length=len(DATA), is_chunked=True), 8, name, DATA)

    def test_post_ends_as_it_began(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                more = ["Content-Disposition: attachment; filename=b.bin", "Content-Type: text/x-mine"]
                answer = self.ask("POST", "/files/", lines_of(version, False, more=more), DATA[:7])
                answer = self.append(self.target(answer), 7, DATA[7:], version=version)
                said = answer.json()
                self.assertEqual((said["name"], said["type"]), ("b.bin", "text/x-mine"))
                self.assertEqual(said["sha256"], sha256_of(DATA))
                got = self.ask("GET", "/files/" + path_of(said["url"]))
                self.assertEqual((got.headers["content-type"], got.body), ("text/x-mine", DATA))
                self.assertRegex(got.headers["content-disposition"], r"^attachment; filename=\"b.bin\"")

    def test_get_of_one_that_is_not_complete(self):
        _, target = self.create(8, DATA[:10], length=99)
        for version in (*VERSIONS, NONE):
            with self.subTest(version=version):
                answer = self.ask("GET", target, lines_of(version))
                self.assertEqual((answer.status, answer.body), (204, b""))
                self.assertEqual((answer.headers["upload-offset"], answer.headers["upload-length"]), ("10", "99"))
                self.assertEqual(is_complete(version, answer.headers), False)
                self.assertEqual("upload-limit" in answer.headers, version not in (3, 5))
                self.assertEqual(answer.headers["cache-control"], "no-store")

    def test_a_complete_one_is_there_by_its_upload(self):
        name = self.name()
        _, target = self.create(8, DATA[:10], name=name)
        self.append(target, 10, DATA[10:])
        for version in (*VERSIONS, NONE):
            for method in ("HEAD", "GET"):
                with self.subTest(version=version, method=method):
                    answer = self.ask(method, target, lines_of(version))
                    state = answer.headers
                    self.assertEqual((is_complete(version, state), state["upload-offset"], state["upload-length"]),
                                     (True, str(len(DATA)), str(len(DATA))))
                    self.assertEqual((state["content-location"], state["etag"]),
                                     (f"{ORIGIN}/files/{name}", etag_of(DATA)))
                    self.assertEqual(state["repr-digest"], digest_field(DATA, "sha-256"))
                    if version is NONE:  # it asks for what is there
                        self.assertEqual((answer.status, state["content-length"]), (200, str(len(DATA))))
                        self.assertEqual(answer.body, DATA if method == "GET" else b"")
                        self.assertEqual(state["content-type"], "application/octet-stream")
                    else:
                        self.assertEqual((answer.status, answer.body), (204, b""))
                    self.assertIn("no-store", state["cache-control"])

    def test_a_complete_one_whose_file_is_gone(self):
        """Whatever became of its name, the upload is no way to the old bytes."""
        def remove(path):
            path.unlink()

        def replace(path):
            path.with_name("new").write_bytes(b"another")
            path.with_name("new").rename(path)

        def move(path):
            path.rename(path.with_name(path.name + "-moved"))

        for change in (remove, replace, move):
            for method, complete in (("HEAD", None), ("GET", None), ("PATCH", True)):
                with self.subTest(change=change.__name__, method=method):
                    name = self.name()
                    _, target = self.create(8, DATA[:10], name=name)
                    self.append(target, 10, DATA[10:])
                    change(self.server.path(name))
                    lines = lines_of(NONE, complete, None if complete is None else len(DATA), kind=PARTIAL)
                    answer = self.ask(method, target, lines)
                    self.assertEqual(answer.status, 404, answer)
                    self.assertNotIn("content-location", answer.headers)
                    self.assertEqual(self.ask("DELETE", target, lines_of(8)).status, 204)

    def test_a_complete_one_whose_file_is_overwritten(self):
        with Sluice(durability="none", conflict="overwrite") as server:
            self.server = server
            name = self.name()
            _, target = self.create(8, DATA[:10], name=name)
            self.append(target, 10, DATA[10:])
            self.assertEqual(self.ask("PUT", f"/files/{name}", [], b"another").status, 200)
            self.assert_gone(target)

    def test_after_a_new_start(self):
        with Sluice(durability="none") as server:
            self.server = server
            name = self.name()
            _, target = self.create(8, DATA[:12_345], name=name, length=len(DATA))
            server.kill()
            server.start()
            state = self.head(target)
            self.assertEqual((state["upload-offset"], state["upload-length"]), ("12345", str(len(DATA))))
            self.assert_final(self.append(target, 12_345, DATA[12_345:]), 8, name, DATA)
            server.kill()
            server.start()
            self.assertEqual(is_complete(8, self.head(target)), True)


class End(Case):
    def test_delete(self):
        for version in (*VERSIONS, NONE):
            with self.subTest(version=version):
                before, name = self.server.kept(), self.name()
                _, target = self.create(version, DATA[:10], name=name)
                self.assertEqual(len(self.server.kept()), len(before) + 1)
                answer = self.ask("DELETE", target, lines_of(version))
                self.assertEqual((answer.status, answer.body), (204, b""))
                self.assertEqual(self.server.kept(), before)
                for gone in (self.ask("HEAD", target, lines_of(version)), self.append(target, 10, version=version),
                             self.ask("DELETE", target, lines_of(version)), self.ask("GET", target)):
                    self.assertEqual(gone.status, 404, gone)
                    self.assertNotIn("upload-offset", gone.headers)
                self.assertFalse(self.server.path(name).exists())

    def test_delete_of_a_complete_one_leaves_its_file(self):
        name = self.name()
        _, target = self.create(8, name=name)
        self.append(target, 0, DATA)
        self.assertEqual(self.ask("DELETE", target, lines_of(8)).status, 204)
        self.assertEqual(self.ask("HEAD", target, lines_of(8)).status, 404)
        self.assert_stored(name, DATA)

    def test_nobody(self):
        for target in ("/uploads/" + "a" * 26, "/uploads/" + "A" * 26, "/uploads/x", "/uploads/a/b",
                       "/uploads/%2e%2e", "/uploads/..%2ffiles", "/uploads/" + "a" * 27, "/uploads/.lock"):
            for method in ("HEAD", "PATCH", "DELETE"):
                with self.subTest(method=method, target=target):
                    lines = lines_of(8, True, 0, kind=PARTIAL) if method == "PATCH" else lines_of(8)
                    answer = self.ask(method, target, lines)
                    self.assertEqual(answer.status, 404, answer)
                    if method == "PATCH":
                        self.problem(answer, 404, "no-upload")


if __name__ == "__main__":
    unittest.main()
