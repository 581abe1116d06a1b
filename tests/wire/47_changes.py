"""What may happen to a name that has a file: rules for conflicts, conditions, removal; of those who race, one wins."""

import concurrent.futures
import email.utils
import unittest

import faults
from support import Sluice, content, etag_of, path_of, raw

OLD, NEW = b"old", b"new"
ETAG = etag_of(OLD)
OTHER = etag_of(b"other")
LONG_AGO = email.utils.formatdate(1_000_000_000, usegmt=True)
LATER = email.utils.formatdate(4_000_000_000, usegmt=True)
RACERS, ROUNDS = 12, 15

# rule of the server, what the request asks for, its headers: status and code, when "there" exists.
PUTS = [
    ("error", "", [], 409, "exists"),
    ("error", "?conflict=error", [], 409, "exists"),
    ("error", "?conflict=rename", [], 201, None),
    ("error", "?conflict=overwrite", [], 403, "conflict-not-allowed"),
    ("error", "?conflict=bogus", [], 400, "bad-query"),
    ("error", "?conflict=error&conflict=rename", [], 400, "bad-query"),
    ("error", "", ["If-None-Match: *"], 412, "precondition-failed"),
    ("error", "", [f"If-Match: {OTHER}"], 412, "precondition-failed"),
    ("error", "", [f"If-Match: {ETAG}"], 409, "exists"),
    ("rename", "", [], 201, None),
    ("rename", "?conflict=error", [], 409, "exists"),
    ("rename", "?conflict=overwrite", [], 403, "conflict-not-allowed"),
    ("rename", "", ["If-None-Match: *"], 412, "precondition-failed"),
    ("overwrite", "", [], 200, None),
    ("overwrite", "?conflict=overwrite", [], 200, None),
    ("overwrite", "?conflict=error", [], 409, "exists"),
    ("overwrite", "?conflict=rename", [], 201, None),
    ("overwrite", "?conflict=bogus", [], 400, "bad-query"),
    ("overwrite", "", ["If-None-Match: *"], 412, "precondition-failed"),
    ("overwrite", "", [f"If-None-Match: {ETAG}"], 412, "precondition-failed"),
    ("overwrite", "", [f"If-None-Match: W/{ETAG}"], 412, "precondition-failed"),
    ("overwrite", "", [f"If-None-Match: {OTHER}"], 200, None),
    ("overwrite", "", [f"If-Match: {ETAG}"], 200, None),
    ("overwrite", "", [f"If-Match: {OTHER}, {ETAG}"], 200, None),
    ("overwrite", "", ["If-Match: *"], 200, None),
    ("overwrite", "", [f"If-Match: {OTHER}"], 412, "precondition-failed"),
    ("overwrite", "", [f"If-Match: W/{ETAG}"], 412, "precondition-failed"),
    ("overwrite", "", [f"If-Unmodified-Since: {LATER}"], 200, None),
    ("overwrite", "", [f"If-Unmodified-Since: {LONG_AGO}"], 412, "precondition-failed"),
    ("overwrite", "", [f"If-Modified-Since: {LATER}"], 200, None),  # of reads only
]


class Puts(unittest.TestCase):
    def check(self, server, query, lines, status, code, expect):
        with raw(server) as client:
            self.assertIn(client.request("DELETE", "/files/there").status, (204, 404))
            self.assertEqual(client.request("PUT", "/there", OLD).status, 201)
            if expect:  # refused before the body, or wanted
                client.send("\r\n".join([f"PUT /there{query} HTTP/1.1", "Host: a", "Content-Length: 3",
                                         "Expect: 100-continue", *lines, "", ""]).encode())
                answer = client.answer()
                self.assertEqual(answer.status, 100 if code is None else status)
                if code is None:
                    answer = client.send(NEW).answer()
            else:
                answer = client.request("PUT", "/there" + query, NEW, lines)
        self.assertEqual((answer.status, answer.code), (status, code), answer)
        if code is None:
            path = path_of(answer.headers["location"])
            self.assertEqual(path == "there", status == 200)
            self.assertEqual((server.path(path).read_bytes(), answer.headers["etag"]), (NEW, etag_of(NEW)))
        elif status in (409, 412):
            self.assertEqual(answer.headers["etag"], ETAG)
        self.assertEqual(server.path("there").read_bytes(), NEW if status == 200 else OLD)

    def test_the_table(self):
        for rule in ("error", "rename", "overwrite"):
            with Sluice(conflict=rule, durability="none") as server:
                for _, *row in filter(lambda row: row[0] == rule, PUTS):
                    for expect in (False, True):
                        with self.subTest(rule, row=row, expect=expect):
                            self.check(server, *row, expect)

    def test_of_what_is_not_there(self):
        for rule in ("error", "rename", "overwrite"):
            with Sluice(conflict=rule, durability="none") as server, raw(server) as client:
                for number, (lines, status) in enumerate((
                        ([f"If-Match: {ETAG}"], 412), (["If-Match: *"], 412), (["If-None-Match: *"], 201),
                        ([f"If-None-Match: {ETAG}"], 201), ([f"If-Unmodified-Since: {LONG_AGO}"], 201))):
                    with self.subTest(rule, lines=lines):
                        answer = client.request("PUT", f"/{number}", NEW, lines)
                        self.assertEqual(answer.status, status, answer)
                        self.assertEqual("etag" in answer.headers, status == 201)
                        self.assertEqual(server.path(f"{number}").exists(), status == 201)

    def test_posts_too(self):
        form = b"--b\r\nContent-Disposition: form-data; name=f; filename=there\r\n\r\nnew\r\n--b--\r\n"
        kind = "Content-Type: multipart/form-data; boundary=b"
        with Sluice(name="{filename}", durability="none") as server, raw(server) as client:
            client.request("PUT", "/there", OLD)
            for target, body, lines in (("/files/?name=there&", NEW, ["Content-Type: a/b"]),
                                        ("/files/?", form, [kind])):
                for conflict, status in (("error", 409), ("rename", 201), ("overwrite", 403), ("bogus", 400)):
                    with self.subTest(target, conflict=conflict):
                        answer = client.request("POST", f"{target}conflict={conflict}", body, lines)
                        self.assertEqual(answer.status, status, answer)
                        if status == 409:
                            self.assertEqual(answer.headers["etag"], ETAG)
            self.assertEqual(server.path("there").read_bytes(), OLD)
            self.assertEqual(len(server.stored()), 3)


class Deletes(unittest.TestCase):
    def test_the_table(self):
        with Sluice(durability="none") as server, raw(server) as client:
            for lines, status in (([], 204), ([f"If-Match: {ETAG}"], 204), (["If-Match: *"], 204),
                                  ([f"If-Match: {OTHER}"], 412), ([f"If-Match: W/{ETAG}"], 412),
                                  ([f"If-None-Match: {ETAG}"], 412), (["If-None-Match: *"], 412),
                                  ([f"If-None-Match: {OTHER}"], 204), ([f"If-Unmodified-Since: {LONG_AGO}"], 412),
                                  ([f"If-Unmodified-Since: {LATER}"], 204)):
                with self.subTest(lines):
                    client.request("PUT", "/a/there", OLD)
                    answer = client.request("DELETE", "/files/a/there", headers=lines)
                    self.assertEqual((answer.status, answer.body if status == 204 else b""), (status, b""))
                    self.assertEqual(server.path("a/there").exists(), status == 412)
                    if status == 412:
                        self.assertEqual((answer.code, answer.headers["etag"]), ("precondition-failed", ETAG))
                        continue
                    for method in ("DELETE", "GET"):
                        answer = client.request(method, "/files/a/there")
                        self.assertEqual((answer.status, answer.code), (404, "not-found"))

    def test_what_is_no_file(self):
        with Sluice(durability="none") as server, raw(server) as client:
            client.request("PUT", "/a/b/c", OLD)
            for target, statuses in (("/files/a", [404]), ("/files/a/b", [404]), ("/files/a/b/c/d", [404]),
                                     ("/files/nothing", [404]), ("/files/", [405]), ("/", [405]), ("/healthz", [405]),
                                     ("/files/..", [400]), ("/files/a/", [400])):
                with self.subTest(target):
                    self.assertIn(client.request("DELETE", target).status, statuses)
            self.assertIn(client.request("DELETE", "/files/nothing", headers=[f"If-Match: {ETAG}"]).status, (404, 412))
            self.assertEqual(server.stored(), ["a/b/c"])

    def test_a_name_is_free_again(self):
        with Sluice(durability="none") as server, raw(server) as client:
            for _ in range(5):
                self.assertEqual(client.request("PUT", "/a", NEW, ["If-None-Match: *"]).status, 201)
                answer = client.request("DELETE", "/files/a", headers=[f"If-Match: {etag_of(NEW)}"])
                self.assertEqual(answer.status, 204)


class Races:
    """All have sent all but the last byte before one of them sends it."""

    engine = None

    def setUp(self):
        self.server = self.enterContext(Sluice(conflict="overwrite", durability="none", loops=2, engine=self.engine))
        self.pool = self.enterContext(concurrent.futures.ThreadPoolExecutor(RACERS))

    def race(self, name, line, deleters=0):
        """[(status, body sent or None)] of all, in no order."""
        def run(pair):
            client, last = pair
            with client:
                return client.send(last).answer().status

        bodies = [content(5000, seed=number) for number in range(RACERS - deleters)]
        head = f" /files/{name} HTTP/1.1\r\nHost: a\r\n{line}\r\n"
        starts = [f"PUT{head}Content-Length: 5000\r\n\r\n".encode() + body for body in bodies]
        starts += [f"DELETE{head}\r\n".encode()] * deleters
        racers = [(raw(self.server).send(start[:-1]), start[-1:]) for start in starts]
        return list(zip(self.pool.map(run, racers), [*bodies, *[None] * deleters]))

    def put(self, name, data):
        with raw(self.server) as client:
            return client.request("PUT", f"/files/{name}", data).headers["etag"]

    def test_one_replaces_what_they_all_knew(self):
        for number in range(ROUNDS):
            etag = self.put(f"r{number}", OLD)
            results = self.race(f"r{number}", f"If-Match: {etag}")
            self.assertEqual(sorted(status for status, _ in results), [200] + [412] * (RACERS - 1))
            self.assertEqual(self.server.path(f"r{number}").read_bytes(), dict(results)[200])

    def test_one_creates(self):
        for number in range(ROUNDS):
            results = self.race(f"c{number}", "If-None-Match: *")
            self.assertEqual(sorted(status for status, _ in results), [201] + [412] * (RACERS - 1))
            self.assertEqual(self.server.path(f"c{number}").read_bytes(), dict(results)[201])

    def test_one_removes_or_replaces(self):
        for number in range(ROUNDS):
            etag = self.put(f"d{number}", OLD)
            results = self.race(f"d{number}", f"If-Match: {etag}", deleters=RACERS // 2)
            won = [(status, body) for status, body in results if status in (200, 204)]
            self.assertEqual(len(won), 1, results)
            self.assertLessEqual({status for status, _ in results} - {won[0][0]}, {404, 412})
            path = self.server.path(f"d{number}")
            self.assertEqual(path.read_bytes() if path.exists() else None, won[0][1])

    def test_without_conditions_the_last_one_stays_whole(self):
        results = self.race("x", "X-None: of-them")
        self.assertEqual(sorted(status for status, _ in results), [200] * (RACERS - 1) + [201])
        self.assertIn(self.server.path("x").read_bytes(), [body for _, body in results])


faults.on_each_engine(globals(), Races)

if __name__ == "__main__":
    unittest.main()
