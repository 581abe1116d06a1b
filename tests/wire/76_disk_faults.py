"""Every way to upload, with every operation on the disk failing once, for every reason a disk has: the client is told
the truth, nothing half-made is seen, nothing is kept of it, and the next upload works."""

import errno
import hashlib
import itertools
import os
import tempfile
import unittest

import draft
import faults
import support
import tus
from faulty_disk import KINDS, OF_NOBODY, WORDS, Faults
from support import Sluice, content, quoted, raw, sha256_of, wait_until
from tus import Tus

UNNEEDED = {"CLOSE", "ALLOCATE", "SETXATTR"}  # an upload may do without; what is known of a file is not the file
LATE_TURNS = 40  # of the loop; an operation of this disk takes a few
ONE = {errno.EIO: 500}  # sanitizers see as much by one
FEW = ONE if faults.is_sanitized() else {**ONE, errno.ENOSPC: 507}
ERRORS = FEW if faults.is_sanitized() else {**FEW, errno.EDQUOT: 507, errno.EROFS: 500, errno.EMFILE: 503,
                                            errno.ENOMEM: 503}
MEMORY = "/dev/shm"
OLD = b"what was there before"
SMALL, LARGE = content(1000), content(700_001)


def summary(data):
    return len(data), hashlib.sha256(data).hexdigest()[:8]


class Case:
    engine = None
    options = {}

    def setUp(self):
        if not support.FAULTY:
            self.skipTest("SLUICE_FAULTY names no sluice_faulty")
        self.faults = Faults()
        self.addCleanup(self.faults.close)
        self.server = self.enterContext(Sluice(
            root=self.root(), binary=support.FAULTY, environment={"SLUICE_TEST_FAULTS": self.faults.file.name},
            engine=self.engine, loops=1, name="{filename}", **{"durability": "full", **self.options}))
        self.numbers = itertools.count()
        listening = support.sockets(self.server.pid)
        self.put("warm", SMALL)  # the folder is there from now on, the connection must not be counted
        wait_until(lambda: support.sockets(self.server.pid) == listening, "the end of the connection")
        self.idle_fds = support.fds(self.server.pid)

    # ---- the ways to upload: the answer, and {path: content} of what should be there if it is 2xx ----

    def root(self):
        """In memory, if files can keep attributes there: what fails is told to fail, and a real disk would take most of
        the time, to sync."""
        for folder in (MEMORY, None):
            try:
                root = self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-wire-", dir=folder))
                os.setxattr(root, "user.sluice.test", b"")
                break
            except OSError:
                pass
        return root

    def ask(self, method, target, lines=(), body=b""):
        with raw(self.server) as client:
            return client.request(method, target, headers=lines, body=body)

    def put(self, name, data, *lines):
        return self.ask("PUT", quoted(name), lines, data), {name: data}

    def put_small(self, name):
        return self.put(name, SMALL)

    def put_large(self, name):
        return self.put(name, LARGE)

    def put_into_new_folders(self, name):
        return self.put(f"{name}/b/c", SMALL)

    def put_chunked(self, name):
        with raw(self.server) as client:
            head = f"PUT {quoted(name)} HTTP/1.1\r\nHost: wire.test\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            client.send(head + tus.chunked([LARGE[:300_000], LARGE[300_000:]]))
            return client.answer("PUT"), {name: LARGE}

    def put_over(self, name):
        return self.put(name, LARGE)

    def form(self, name):
        parts = {f"{name}-1": SMALL, f"{name}-2": LARGE}
        body = b"".join(b'--b\r\nContent-Disposition: form-data; name="f"; filename="%b"\r\n\r\n%b\r\n'
                        % (part.encode(), data) for part, data in parts.items()) + b"--b--\r\n"
        answer = self.ask("POST", "/files/", ["Content-Type: multipart/form-data; boundary=b"], body)
        return answer, parts

    def post(self, name):
        return self.ask("POST", f"/?name={name}", ["Content-Type: application/octet-stream"], SMALL), {name: SMALL}

    def draft(self, name):
        lines = ["Upload-Complete: ?1", "Upload-Draft-Interop-Version: 8"]
        with raw(self.server) as client:
            client.send(("\r\n".join([f"PUT {quoted(name)} HTTP/1.1", "Host: wire.test",
                                      f"Content-Length: {len(LARGE)}", *lines, "", ""])).encode() + LARGE)
            return self.final_answer(client), {name: LARGE}

    @staticmethod
    def final_answer(client):
        while (answer := client.answer("PUT")).status < 200:
            pass
        return answer

    def tus_at_once(self, name):
        with Tus(self.server) as client:
            answer = client.create(len(SMALL), f"Upload-Metadata: {tus.metadata(filename=name)}", body=SMALL)
            return answer, {name: SMALL}

    # ---- what must hold ----

    def bystanders(self):
        return {path: summary(self.server.path(path).read_bytes()) for path in self.server.stored()}

    def assert_consistent(self, name, answer, promised, before, kind):
        """All of it is there, or nothing, or of a form what the answer tells."""
        promised = {path: summary(data) for path, data in promised.items()}
        after = self.bystanders()
        mine = {path: after.pop(path) for path in list(after) if path.startswith(name)}
        old = {path: data for path, data in before.items() if path.startswith(name)}
        self.assertEqual(after, {path: data for path, data in before.items() if path not in old})
        if answer.status < 300:
            self.assertEqual(mine, promised)
        elif old:  # an overwriting one may have happened where the folder could not be synced
            self.assertIn(mine, (old, promised), f"{answer} after {kind}")
        else:
            told = [support.path_of(url) for url in answer.json().get("stored", ())]
            self.assertEqual(mine, {path: promised[path] for path in told}, f"{answer} after {kind}")
        for path in mine:  # all that is there is read each time
            self.server.path(path).unlink()

    def assert_nothing_left(self):
        wait_until(lambda: self.server.temp_files() == [], f"nothing is left: {self.server.temp_files()}")
        wait_until(lambda: support.fds(self.server.pid) <= self.idle_fds,
                   f"{self.idle_fds} descriptors, as before; {support.fds(self.server.pid)}")

    def seen(self):
        """How many operations there were."""
        return sum(self.faults.words[WORDS + KINDS.index(kind)] for kind in set(KINDS) - OF_NOBODY)

    def operations_of(self, way):
        """How many it takes when nothing fails."""
        before, name = self.seen(), self.name_for(way)
        self.assertIn(way(name)[0].status, (200, 201, 204))
        self.assert_nothing_left()
        return self.seen() - before

    def name_for(self, way):
        name = f"{'over' if way == self.put_over else 'new'}{next(self.numbers)}-"
        if way == self.put_over:
            self.assertEqual(self.put(name, OLD)[0].status, 201)
        return name

    def assert_told(self, answer, kind, told, unneeded):
        if kind is None or kind in unneeded and answer.status < 300:
            self.assertIn(answer.status, (200, 201, 204), (kind, answer))
        else:
            self.assertEqual(answer.status, told, (kind, answer))

    def fail_at_each(self, way, errors, unneeded=UNNEEDED):
        """The n-th operation fails, for each n."""
        struck = 0
        count = self.operations_of(way)
        for nth, (sys_errno, told) in itertools.product(range(1, count + 1), errors.items()):
            with self.subTest(way=way.__name__, nth=nth, errno=errno.errorcode[sys_errno]):
                name, before = self.name_for(way), self.bystanders()
                self.faults.arm(nth, sys_errno)
                answer, promised = way(name)
                kind = self.faults.disarm()
                struck += kind is not None
                self.assert_told(answer, kind, told, unneeded)
                self.assert_consistent(name, answer, promised, before, kind)
                self.assert_nothing_left()
                self.assert_next_works()
        self.assertGreater(struck, count * len(errors) // 2, "most of them struck")
        return count

    def assert_next_works(self):
        name = f"next{next(self.numbers)}"
        self.assertEqual(self.put_small(name)[0].status, 201)
        self.assertEqual(self.server.path(name).read_bytes(), SMALL)
        self.server.path(name).unlink()


class EveryOperation(Case):
    options = {"conflict": "overwrite", "upload_expiry": 3600}

    def test_put(self):
        for way, errors in ((self.put_small, ERRORS), (self.put_large, FEW)):
            faults.note(f"{way.__name__}: {self.fail_at_each(way, errors)} operations")

    def test_put_into_new_folders(self):
        self.fail_at_each(self.put_into_new_folders, FEW)

    def test_put_of_unknown_length(self):
        self.fail_at_each(self.put_chunked, FEW)

    def test_put_over_another(self):
        self.fail_at_each(self.put_over, ERRORS)

    def test_raw_post(self):
        self.fail_at_each(self.post, FEW)

    def test_form(self):
        self.fail_at_each(self.form, FEW)

    def test_draft(self):
        self.fail_at_each(self.draft, FEW)

    def test_tus_at_once(self):
        """One whose id cannot be kept is a file all the same."""
        self.fail_at_each(self.tus_at_once, FEW, UNNEEDED | {"LINK"})

    def test_short_writes_are_gone_on_with(self):
        for nth, moved in itertools.product(range(1, 4), (0, 1, 4095, 100_000)):
            with self.subTest(nth=nth, moved=moved):
                name = self.name_for(self.put_large)
                self.faults.arm(nth, 0, {"WRITE"}, moved)
                self.assertEqual(self.put_large(name)[0].status, 201)
                self.faults.disarm()
                self.assertEqual(self.server.path(name).read_bytes(), LARGE)

    def test_late_ones_change_nothing_but_the_order(self):
        for way in (self.put_large, self.put_over, self.put_into_new_folders, self.form, self.draft, self.tus_at_once):
            for nth in range(1, 1 + self.operations_of(way)):
                with self.subTest(way=way.__name__, nth=nth):
                    name, before = self.name_for(way), self.bystanders()
                    self.faults.arm(nth, turns=LATE_TURNS)
                    answer, promised = way(name)
                    kind = self.faults.disarm()
                    self.assertIn(answer.status, (200, 201), (kind, answer))
                    self.assert_consistent(name, answer, promised, before, kind)
                    self.assert_nothing_left()

    def test_interrupted_ones_are_done_again(self):
        for nth in range(1, 1 + self.operations_of(self.put_small)):
            with self.subTest(nth=nth):
                name = self.name_for(self.put_small)
                self.faults.arm(nth, errno.EINTR)
                self.assertEqual(self.put_small(name)[0].status, 201)
                self.faults.disarm()
                self.assertEqual(self.server.path(name).read_bytes(), SMALL)

    def test_a_disk_that_fails_for_a_while(self):
        for sys_errno, status in ERRORS.items():
            with self.subTest(errno=errno.errorcode[sys_errno]):
                name = self.name_for(self.put_large)
                with self.faults.all_fail(sys_errno, {"WRITE", "SYNC"}):
                    for way in (self.put_small, self.put_large, self.form, self.draft):
                        self.assertEqual(way(name)[0].status, status)
                self.assert_nothing_left()
                self.assertEqual(self.put_large(name)[0].status, 201)
                self.assertEqual(self.server.path(name).read_bytes(), LARGE)


class Others(Case):
    """What is asked of files that are there, and uploads beside one that fails."""

    options = {"conflict": "overwrite", "upload_expiry": 3600}

    def fail_each_of(self, act, errors):
        """act(name, arm) calls arm() where it begins, and afterwards looks at the kind that struck, by disarm()."""
        struck, count = 0, itertools.count()
        for nth, sys_errno in itertools.product(range(1, 1 + self.count_of(act)), errors):
            with self.subTest(act=act.__name__, nth=nth, errno=errno.errorcode[sys_errno]):
                struck += act(f"{act.__name__}{next(count)}", lambda: self.faults.arm(nth, sys_errno)) is not None
                self.assert_nothing_left()
                self.assert_next_works()
        self.assertGreater(struck, 0)

    def count_of(self, act):
        counts = []
        self.assertIsNone(act(f"{act.__name__}-quiet", lambda: counts.append(self.seen())))
        return self.seen() - counts[0]

    def delete(self, name, arm):
        self.assertEqual(self.put(name, SMALL)[0].status, 201)
        arm()
        answer = self.ask("DELETE", quoted(name))
        kind, is_there = self.faults.disarm(), self.server.path(name).exists()
        if kind is None or kind == "CLOSE":
            self.assertEqual((answer.status, is_there), (204, False), answer)
        else:
            self.assertIn(answer.status, (500, 507), (kind, answer))
            self.assertTrue(is_there or kind == "SYNC", f"{kind}: a refusal, and it is gone")
        if is_there:
            self.assertEqual(self.server.path(name).read_bytes(), SMALL)
            self.assertEqual(self.ask("DELETE", quoted(name)).status, 204)
        self.assertEqual(self.ask("GET", quoted(name)).status, 404)
        return kind

    def test_delete(self):
        self.fail_each_of(self.delete, FEW)

    def get(self, name, arm):
        """What can still be said in the status is said there; behind that the answer breaks off, and whoever reads it
        knows."""
        self.assertEqual(self.put(name, LARGE)[0].status, 201)
        with open(self.server.path(name), "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        arm()
        try:
            answer = self.ask("GET", quoted(name))
        except tus.BROKEN:  # in the middle of the body
            answer = None
        kind = self.faults.disarm()
        if answer is not None and answer.status == 200:
            self.assertEqual(sha256_of(answer.body), sha256_of(LARGE), f"a whole answer after {kind}")
            self.assertIn(kind, (None, "CLOSE", "GETXATTR"))
        elif answer is not None:
            self.assertIn(answer.status, (500, 507), (kind, answer))
        self.assertEqual(self.ask("GET", quoted(name)).body, LARGE)
        self.server.path(name).unlink()
        return kind

    def test_get(self):
        self.fail_each_of(self.get, FEW)

    def test_reads_that_fail_break_the_answer_wherever(self):
        self.assertEqual(self.put("there", LARGE)[0].status, 201)
        lines = {"whole": [], "range": ["Range: bytes=1000-650000"],
                 "ranges": ["Range: bytes=0-300000,400000-700000"]}
        for what, more in lines.items():
            for nth in itertools.count(1):
                with self.subTest(what, nth=nth):
                    self.faults.arm(nth, errno.EIO, {"READ"})
                    try:
                        answer = self.ask("GET", "/files/there", more)
                    except tus.BROKEN:
                        answer = None
                    if self.faults.disarm() is None:
                        self.assertIn(answer.status, (200, 206))
                        break
                    self.assertTrue(answer is None or answer.status == 500, answer)
            self.assertGreater(nth, 1, "some reads struck")

    def test_others_under_way_are_not_touched(self):
        """While one fails, others are in their bodies, with too little for a write: never is it theirs that fails."""
        for nth in range(1, 1 + self.operations_of(self.put_large)):
            with self.subTest(nth=nth), Tus(self.server) as client, raw(self.server) as patch, raw(self.server) as put:
                target = client.made(len(LARGE), f"Upload-Metadata: {tus.metadata(filename='tus')}")
                patch.send(tus.patch_head(target, 0, len(LARGE), "Expect: 100-continue"))
                put.send(b"PUT /mine HTTP/1.1\r\nHost: wire.test\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
                         % len(LARGE))
                for other in (patch, put):
                    self.assertEqual(other.answer().status, 100)
                    other.send(LARGE[:1000])
                self.faults.arm(nth, errno.EIO)
                answer = self.put_large("failing")[0]
                kind = self.faults.disarm()
                self.assert_told(answer, kind, 500, UNNEEDED)
                for other, statuses in ((patch, (204,)), (put, (200, 201))):
                    other.send(LARGE[1000:])
                    self.assertIn(other.answer().status, statuses, f"beside a failing {kind}")
                for name in ("mine", "tus"):
                    self.assertEqual(sha256_of(self.server.path(name).read_bytes()), sha256_of(LARGE), name)
                self.assertEqual(client.delete(target).status, 204)


class Resumable(Case):
    """An upload in pieces, where one request fails and the client does what clients do: asks, and goes on."""

    options = {"upload_expiry": 3600}
    PIECES = (5000, 300_000, len(LARGE))
    HALVES = PIECES[1:]

    def upload(self, name, arm, is_checked=False, is_taken_over=False):
        """The kind of operation that failed, if one did. arm: called where it may."""
        pieces = self.HALVES if is_checked or is_taken_over else self.PIECES
        with Tus(self.server) as client:
            arm()
            answer = client.create(len(LARGE), f"Upload-Metadata: {tus.metadata(filename=name)}")
            if answer.status != 201:
                self.assertIn(answer.status, (500, 507), answer)
                return self.faults.disarm()
            target, acked = tus.target_of(answer.headers["location"]), 0
            if is_taken_over:
                self.send_half(target)
            for _ in range(20):
                head = client.head(target)
                if head.status in (200, 204):
                    offset = int(head.headers["upload-offset"])
                    self.assertGreaterEqual(offset, acked, "what was acknowledged is there")
                    acked = offset
                    if offset == len(LARGE):
                        break
                    end = next(end for end in pieces if end > offset)
                    data = LARGE[offset:end]
                    lines = [f"Upload-Checksum: {tus.checksum('sha1', data)}"] if is_checked else []
                    answer = client.patch(target, offset, data, *lines)
                    if answer.status == 204:
                        acked = int(answer.headers["upload-offset"])
                        self.assertEqual(acked, end)
                    elif is_checked:  # none of it was taken, or all
                        self.assertIn(client.head(target).headers.get("upload-offset"), (None, str(offset), str(end)))
            kind = self.faults.disarm()
            head = client.head(target)
            self.assertEqual(head.headers["upload-offset"], str(len(LARGE)), f"{head} after {kind}")
            self.assertEqual(sha256_of(self.server.path(name).read_bytes()), sha256_of(LARGE), f"after {kind}")
            self.assertEqual(client.delete(target).status, 204)
            return kind

    def send_half(self, target):
        """By another, who stays and says no more: it is taken from them."""
        other = self.enterContext(raw(self.server))
        other.send(tus.patch_head(target, 0, len(LARGE), "Expect: 100-continue"))
        if other.answer("PATCH").status == 100:
            other.send(LARGE[:400_000])
        self.stalled.append(other)

    def checked(self, name, arm):
        return self.upload(name, arm, is_checked=True)

    def taken_over(self, name, arm):
        try:
            return self.upload(name, arm, is_taken_over=True)
        finally:
            while self.stalled:
                self.stalled.pop().close()

    def try_until(self, status, ask):
        """Asks again for as long as the disk is to blame."""
        for _ in range(5):
            answer = ask()
            if answer.status == status:
                return answer
            self.assertIn(answer.status, (500, 507), answer)
        self.fail(answer)

    def joined(self, name, arm):
        """A final upload of two parts. Which of the requests fails, is asked again."""
        halves = LARGE[:300_000], LARGE[300_000:]
        with Tus(self.server) as client:
            arm()
            made = [self.try_until(201, lambda: client.create(len(half), "Upload-Concat: partial", body=half))
                    for half in halves]
            targets = [tus.target_of(answer.headers["location"]) for answer in made]
            final = self.try_until(201, lambda: client.create(
                None, f"Upload-Concat: final;{' '.join(targets)}", f"Upload-Metadata: {tus.metadata(filename=name)}"))
            kind = self.faults.disarm()
            path = tus.assert_file(self, self.server, final, LARGE)
            for target in (*targets, tus.target_of(final.headers["location"])):
                self.assertEqual(client.delete(target).status, 204)
            return kind

    def drafted(self, name, arm):
        """The same in the words of the IETF draft."""
        arm()
        offset, target = 0, None
        for _ in range(30):
            end = next((end for end in self.HALVES if end > offset), len(LARGE))
            complete = draft.complete_line(8, end == len(LARGE))
            lines = [complete, "Upload-Draft-Interop-Version: 8", f"Content-Length: {end - offset}"]
            first = f"PUT {quoted(name)}" if target is None else f"PATCH {target}"
            lines += [] if target is None else [f"Upload-Offset: {offset}", f"Content-Type: {draft.PARTIAL}"]
            with raw(self.server) as client:
                client.send("\r\n".join([f"{first} HTTP/1.1", "Host: wire.test", *lines, "", ""]).encode()
                            + LARGE[offset:end])
                answer = self.final_answer(client)
            if target is None:
                if "location" not in answer.headers:
                    self.assertIn(answer.status, (500, 507), answer)
                    continue
                target = support.urllib.parse.urlsplit(answer.headers["location"]).path
            if answer.status in (200, 201, 204) and end == len(LARGE):
                break
            head = self.ask("HEAD", target, ["Upload-Draft-Interop-Version: 8"])
            if head.status == 204:
                self.assertGreaterEqual(int(head.headers["upload-offset"]), end if answer.status < 300 else offset)
                offset = int(head.headers["upload-offset"])
        kind = self.faults.disarm()
        self.assertEqual(sha256_of(self.server.path(name).read_bytes()), sha256_of(LARGE), f"{answer} after {kind}")
        return kind

    def dropped(self, name, arm):
        """DELETE of an upload in its middle."""
        with Tus(self.server) as client:
            target = client.made(len(LARGE), f"Upload-Metadata: {tus.metadata(filename=name)}", body=SMALL)
            arm()
            answer = client.delete(target)
            kind = self.faults.disarm()
            if kind is None or kind == "CLOSE":
                self.assertEqual(answer.status, 204, (kind, answer))
            if answer.status != 204:
                self.assertIn(answer.status, (500, 507), (kind, answer))
                self.assertIn(client.head(target).headers.get("upload-offset"), (None, str(len(SMALL))))
                self.assertIn(client.delete(target).status, (204, 404))
            self.assertEqual(client.head(target).status, 404)
            self.assertEqual(self.server.stored(), ["warm"])
            return kind

    def fail_each_of(self, act, errors=FEW):
        self.stalled, counts = [], []
        act("quiet", lambda: counts.append(self.seen()))
        count, struck = self.seen() - counts[0], 0
        for nth, sys_errno in itertools.product(range(1, count + 1), errors):
            with self.subTest(act=act.__name__, nth=nth, errno=errno.errorcode[sys_errno]):
                name, before = f"new{nth}-{sys_errno}", set(self.server.stored())
                struck += act(name, lambda: self.faults.arm(nth, sys_errno)) is not None
                for path in set(self.server.stored()) - before:
                    self.assertEqual(self.server.path(path).read_bytes(), LARGE)
                    self.server.path(path).unlink()
                self.assert_nothing_left()
        self.assertGreater(struck, count * len(errors) // 2, "most of them struck")
        faults.note(f"{act.__name__}: {count} operations")

    def test_it_ends_well_whatever_fails(self):
        self.fail_each_of(self.upload)

    def test_so_do_checked_pieces(self):
        self.fail_each_of(self.checked, ONE)

    def test_so_does_what_is_taken_over(self):
        self.fail_each_of(self.taken_over, ONE)

    def test_so_do_parts_that_are_joined(self):
        self.fail_each_of(self.joined, ONE)

    def test_so_does_the_draft(self):
        self.fail_each_of(self.drafted, ONE)

    def test_so_does_the_end_of_an_upload(self):
        self.fail_each_of(self.dropped)


faults.on_each_engine(globals(), EveryOperation, Others, Resumable)

if __name__ == "__main__":
    unittest.main()
