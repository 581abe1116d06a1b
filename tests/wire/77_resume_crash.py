"""kill -9 and power loss in the middle of resumable uploads: HEAD after the restart says no less than was acknowledged
and no more than is there, and an upload that is gone on with becomes the file it was to be.

The uploads are those of tus and of the IETF draft, whose clients are told of offsets by 104, too. The power is cut as
in 71_power.py. SLUICE_ROUNDS sets how often each case is repeated, for a soak.
"""

import os
import random
import tempfile
import threading
import unittest

import draft
import faults
import support
import tus

ROUNDS = int(os.environ.get("SLUICE_ROUNDS", "2"))
ACKS = (4, 50)  # the crash comes after so many acknowledgments
CLIENTS = 5
LENGTHS = (1, 5000, 70_000, 1_000_000, 3_000_000)
PIECES = (1, 4095, 4096, 10_000, 300_000, 1_500_000)
KINDS = ("plain", "with upload", "deferred", "draft")
TOLD_LENGTH = 72 << 20  # so much that a 104 comes before the end


class Upload:
    """What its client was promised, and what until the crash began."""

    def __init__(self, data, kind):
        self.data, self.kind, self.target, self.acked, self.promised = data, kind, None, None, 0
        self.name = None  # of those of the draft
        self.made = None  # the answer to its creation

    def __repr__(self):
        return f"{self.target} ({self.kind}): {self.promised} of {len(self.data)} acknowledged"


class Uploads:
    """Clients that create uploads and send them in pieces until the server is gone. A context manager; `refused` holds
    the answers that were none of success while it lasted."""

    def __init__(self, server, seed):
        self.server, self.uploads, self.refused, self.acks = server, [], [], 0
        self.lock, self.is_over, self.is_promising = threading.Lock(), False, True
        self.threads = [threading.Thread(target=self._run, args=(seed + number, number)) for number in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        for thread in self.threads:
            thread.join()

    def wait_for_acks(self, count):
        support.wait_until(lambda: self.acks >= count or not any(t.is_alive() for t in self.threads),
                           f"{count} acknowledged", 60)
        assert self.acks >= count, self.refused

    def _run(self, seed, number):
        rng = random.Random(seed)
        with tus.Tus(self.server) as client:
            try:
                while not self.is_over and self._upload(client, rng, stalls=number == 0):
                    pass
            except tus.BROKEN:
                pass  # the server is gone

    def _ack(self, upload, answer, wanted, offset):
        if answer.status != wanted:
            with self.lock:
                self.refused.append(answer)
            return False
        with self.lock:
            upload.acked = offset
            upload.promised = offset if self.is_promising else upload.promised
            self.acks += 1
        return True

    def promise_no_more(self):
        """As uploaders.promised() says of the moment before the power goes."""
        with self.lock:
            self.is_promising = False

    def _is_made(self, upload, answer, offset):
        with self.lock:
            if self.is_promising:
                self.uploads.append(upload)
        self._ack(upload, answer, 201, offset)

    def _upload(self, client, rng, stalls):
        length = max(LENGTHS) if stalls else rng.choice(LENGTHS)
        upload = Upload(rng.randbytes(length), KINDS[0] if stalls else rng.choice(KINDS))
        if upload.kind == "draft":
            return self._upload_by_draft(upload, rng)
        first = min(length, rng.choice(PIECES)) if upload.kind == "with upload" else 0
        told = tus.DEFERRED if upload.kind == "deferred" else length
        answer = client.create(told, body=upload.data[:first] if first else None)
        if answer.status != 201:
            return self._ack(upload, answer, 201, 0)
        upload.target, upload.made = tus.target_of(answer.headers["location"]), answer
        self._is_made(upload, answer, first)
        while upload.acked < length:
            at = upload.acked
            if stalls and at > 0:
                return self._stall(client, upload)
            end = min(length, at + rng.choice(PIECES))
            lines = [f"Upload-Length: {length}"] if upload.kind == "deferred" and end == length else []
            answer = client.patch(upload.target, at, upload.data[at:end], *lines)
            if not self._ack(upload, answer, 204, end):
                return False
            assert answer.headers["upload-offset"] == str(end), answer
        return True

    def _upload_by_draft(self, upload, rng):
        length, first = len(upload.data), min(len(upload.data), rng.choice(PIECES))
        upload.name = f"by-draft/{rng.getrandbits(64):x}"
        lines = draft.lines_of(8, False, length=length)
        answer = exchanged(self.server, "PUT", support.quoted(upload.name), lines, upload.data[:first])
        if answer.status != 201:
            return self._ack(upload, answer, 201, 0)
        upload.target = tus.target_of(answer.headers["location"])
        self._is_made(upload, answer, first)
        while upload.acked < length:
            at, end = upload.acked, min(length, upload.acked + rng.choice(PIECES))
            lines = draft.lines_of(8, end == length, at, kind=draft.PARTIAL)
            answer = exchanged(self.server, "PATCH", upload.target, lines, upload.data[at:end])
            if not self._ack(upload, answer, 201 if end == length else 204, end):
                return False
            assert answer.headers["upload-offset"] == str(end), answer
        return True

    def _stall(self, client, upload):
        """Half of the rest, and then nothing: it is in the middle of its body when the crash comes."""
        rest = upload.data[upload.acked:]
        length = [f"Upload-Length: {len(upload.data)}"] if upload.kind == "deferred" else []
        client.connection().send(tus.patch_head(upload.target, upload.acked, len(rest), *length)
                                 + rest[:len(rest) // 2])
        client.connection().answer("PATCH")
        return False


def exchanged(server, method, target, lines, body=b""):
    """The final answer, by the draft."""
    exchange = draft.Exchange(server, method, target, lines, len(body))
    try:
        return exchange.send(body).answer()
    finally:
        exchange.close()


class Crash:
    engine = clients = None
    durability = "full"
    may_forget_the_address = False

    def assert_held(self, server, uploads):
        """Looks at each, goes on with it, compares the file, and removes it: room for the next."""
        finished = kept = 0
        with tus.Tus(server, seconds=60) as client:
            for upload in uploads:
                go_on = self.go_on_by_draft if upload.kind == "draft" else self.go_on_by_tus
                offset, path = go_on(server, client, upload)
                kept, finished = kept + offset - upload.promised, finished + (offset < len(upload.data))
                server.path(path).unlink()
                client.delete(upload.target)
        return finished, kept

    def assert_offset(self, upload, answer, status):
        self.assertEqual(answer.status, status, f"lost: {upload}: {answer}")
        offset = int(answer.headers["upload-offset"])
        self.assertGreaterEqual(offset, upload.promised, f"less than was acknowledged: {upload}")
        self.assertLessEqual(offset, len(upload.data), upload)
        return offset

    def go_on_by_tus(self, server, client, upload):
        answer, length = client.head(upload.target), len(upload.data)
        if answer.status == 404 and self.has_all_from_the_start(upload):
            return length, tus.assert_file(self, server, upload.made, upload.data)
        offset = self.assert_offset(upload, answer, 200)
        if offset < length:
            lines = [f"Upload-Length: {length}"] if answer.headers.get("upload-defer-length") else []
            answer = client.patch(upload.target, offset, upload.data[offset:], *lines)
            self.assertEqual((answer.status, answer.headers.get("upload-offset")), (204, str(length)), upload)
        elif answer.headers.get("upload-defer-length"):  # all is there, and nobody told that it is all
            answer = client.patch(upload.target, offset, b"", f"Upload-Length: {length}")
            self.assertEqual(answer.status, 204, upload)
        path = tus.assert_file(self, server, answer, upload.data)
        again = client.head(upload.target)
        self.assertEqual(again.headers["upload-offset"], str(length), upload)
        return offset, path

    def has_all_from_the_start(self, upload):
        """Then its file was durable with the first answer, and nobody has to go on: the address beside it is not synced
        once more."""
        return self.may_forget_the_address and upload.made.headers.get("upload-offset") == str(len(upload.data))

    def go_on_by_draft(self, server, _, upload):
        answer, length = exchanged(server, "HEAD", upload.target, draft.lines_of(8)), len(upload.data)
        offset = self.assert_offset(upload, answer, 204)
        if not draft.is_complete(8, answer.headers):
            lines = draft.lines_of(8, True, offset, kind=draft.PARTIAL)
            answer = exchanged(server, "PATCH", upload.target, lines, upload.data[offset:])
            self.assertEqual((answer.status, answer.headers.get("upload-offset")), (201, str(length)), upload)
        self.assertEqual(support.sha256(server.path(upload.name)), support.sha256_of(upload.data), upload)
        with support.raw(server, seconds=60) as client:
            told = client.request("HEAD", support.quoted(upload.name)).headers.get("repr-digest")
        self.assertEqual(told, support.digest_field(upload.data, "sha-256"), upload)
        again = exchanged(server, "HEAD", upload.target, draft.lines_of(8))
        self.assertEqual(again.headers["upload-offset"], str(length), upload)
        return offset, upload.name

    def assert_nothing_is_lost(self, crash, **options):
        """crash(server): takes the server away; afterwards the root can be served again."""
        count = finished = kept = 0
        for number in range(ROUNDS):
            with support.Sluice(root=self.root, engine=self.engine, durability=self.durability, conflict="rename",
                                **options) as server:
                with Uploads(server, seed=1 + number * 1_000_000) as self.clients:
                    clients = self.clients
                    clients.wait_for_acks(random.randint(*ACKS))
                    crash(server)
            self.after_crash()
            with support.Sluice(root=self.root, engine=self.engine, conflict="rename", **options) as server:
                self.assertEqual(server.temp_files(), [], "left in uploads/ after a restart")
                more, bytes_more = self.assert_held(server, clients.uploads)
                count, finished, kept = count + len(clients.uploads), finished + more, kept + bytes_more
        faults.note(f"{ROUNDS} crashes, {count} uploads held, {finished} of them gone on with; {kept} bytes more than"
                    " were acknowledged")
        return clients


    def assert_what_104_told_is_there(self, crash):
        """A large upload that is cut when its client has just been told by a 104 how much is kept of it."""
        data, told = support.content(1 << 20) * (TOLD_LENGTH >> 20), []
        for number in range((ROUNDS + 1) // 2):  # they are large
            upload = Upload(data, "draft")
            upload.name = f"told-{number}"
            with support.Sluice(root=self.root, engine=self.engine, durability=self.durability) as server:
                lines = draft.lines_of(8, True)
                exchange = draft.Exchange(server, "PUT", support.quoted(upload.name), lines, len(data))
                upload.target = tus.target_of(exchange.interim().headers["location"])
                exchange.send(data[:-1])
                upload.promised = int(exchange.interim().headers["upload-offset"])
                crash(server)
                exchange.close()
            self.after_crash()
            with support.Sluice(root=self.root, engine=self.engine) as server:
                told.append(upload.promised)
                self.assert_held(server, [upload])
        faults.note(f"{told} of {len(data)} bytes told by 104, and there")


class Kill(Crash):
    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-kill-"))
        self.root = os.path.join(folder, "root")

    def after_crash(self):
        pass

    def test_kill_in_the_middle_loses_nothing(self):
        clients = self.assert_nothing_is_lost(support.Sluice.kill)
        self.assertEqual(clients.refused, [])

    def test_kill_where_nothing_is_synced_loses_nothing(self):
        self.durability = "none"
        self.assert_nothing_is_lost(support.Sluice.kill)

    def test_kill_behind_a_104(self):
        self.assert_what_104_told_is_there(support.Sluice.kill)

    def test_kill_with_named_temporary_files_loses_nothing(self):
        self.assert_nothing_is_lost(support.Sluice.kill, wrapper=faults.NO_TMPFILE)


class Power(Crash):
    may_forget_the_address = True
    kind = None

    def setUp(self):
        self.fs = faults.loop_fs(self, mib=512, kind=self.kind)
        self.root = os.path.join(self.fs.path, "root")

    def cut_power(self, server):
        if self.clients is not None:
            self.clients.promise_no_more()
        faults.cut_power(self.fs, server)

    def cut_power_behind_a_commit(self, server):
        self.fs.commit_journal()
        self.cut_power(server)

    def after_crash(self):
        self.fs.unmount()
        self.fs.mount()

    def test_power_loss_loses_nothing(self):
        self.assert_nothing_is_lost(self.cut_power)

    def test_power_loss_behind_a_104(self):
        self.assert_what_104_told_is_there(self.cut_power)


class PowerLoss(Power):
    kind = "ext4"

    def test_power_loss_just_behind_a_commit_of_the_journal_loses_nothing(self):
        """States are on the disk, and bytes that nobody synced may not be."""
        self.assert_nothing_is_lost(self.cut_power_behind_a_commit)

    def test_power_loss_with_named_temporary_files_loses_nothing(self):
        self.assert_nothing_is_lost(self.cut_power, wrapper=faults.NO_TMPFILE)


class PowerLossXfs(Power):
    kind = "xfs"


class PowerLossBtrfs(Power):
    kind = "btrfs"


faults.on_each_engine(globals(), Kill, PowerLoss, PowerLossXfs, PowerLossBtrfs)

if __name__ == "__main__":
    unittest.main()
