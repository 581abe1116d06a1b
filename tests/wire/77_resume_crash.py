"""kill -9 and power loss in the middle of resumable uploads: HEAD after the restart says no less than was acknowledged
and no more than is there, and an upload that is gone on with becomes the file it was to be.

The power is cut as in 71_power.py. SLUICE_ROUNDS sets how often each case is repeated, for a soak.
"""

import os
import random
import tempfile
import threading
import unittest

import faults
import support
import tus

ROUNDS = int(os.environ.get("SLUICE_ROUNDS", "2"))
ACKS = (4, 50)  # the crash comes after so many acknowledgments
CLIENTS = 5
LENGTHS = (1, 5000, 70_000, 1_000_000, 3_000_000)
PIECES = (1, 4095, 4096, 10_000, 300_000, 1_500_000)


class Upload:
    """What its client was promised."""

    def __init__(self, data, kind):
        self.data, self.kind, self.target, self.acked = data, kind, None, None

    def __repr__(self):
        return f"{self.target} ({self.kind}): {self.acked} of {len(self.data)} acknowledged"


class Uploads:
    """Clients that create uploads and send them in pieces until the server is gone. A context manager; `refused` holds
    the answers that were none of success while it lasted."""

    def __init__(self, server, seed):
        self.server, self.uploads, self.refused, self.acks = server, [], [], 0
        self.lock, self.is_over = threading.Lock(), False
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
            self.acks += 1
        return True

    def _upload(self, client, rng, stalls):
        length = max(LENGTHS) if stalls else rng.choice(LENGTHS)
        upload = Upload(rng.randbytes(length), rng.choice(("plain", "with upload", "deferred")))
        first = min(length, rng.choice(PIECES)) if upload.kind == "with upload" else 0
        told = tus.DEFERRED if upload.kind == "deferred" else length
        answer = client.create(told, body=upload.data[:first] if first else None)
        if answer.status != 201:
            return self._ack(upload, answer, 201, 0)
        upload.target = tus.target_of(answer.headers["location"])
        with self.lock:
            self.uploads.append(upload)
        self._ack(upload, answer, 201, first)
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

    def _stall(self, client, upload):
        """Half of the rest, and then nothing: it is in the middle of its body when the crash comes."""
        rest = upload.data[upload.acked:]
        length = [f"Upload-Length: {len(upload.data)}"] if upload.kind == "deferred" else []
        client.connection().send(tus.patch_head(upload.target, upload.acked, len(rest), *length)
                                 + rest[:len(rest) // 2])
        client.connection().answer("PATCH")
        return False


class Crash:
    engine = None
    durability = "full"

    def assert_held(self, server, uploads):
        """Looks at each, goes on with it, and compares the file."""
        finished = kept = 0
        with tus.Tus(server, seconds=60) as client:
            for upload in uploads:
                answer = client.head(upload.target)
                self.assertEqual(answer.status, 200, f"lost: {upload}: {answer}")
                offset, length = int(answer.headers["upload-offset"]), len(upload.data)
                self.assertGreaterEqual(offset, upload.acked, f"less than was acknowledged: {upload}")
                self.assertLessEqual(offset, length, upload)
                kept += offset - upload.acked
                if offset < length:
                    lines = [f"Upload-Length: {length}"] if answer.headers.get("upload-defer-length") else []
                    answer = client.patch(upload.target, offset, upload.data[offset:], *lines)
                    self.assertEqual((answer.status, answer.headers.get("upload-offset")), (204, str(length)), upload)
                    finished += 1
                elif answer.headers.get("upload-defer-length"):  # all is there, and nobody told that it is all
                    answer = client.patch(upload.target, offset, b"", f"Upload-Length: {length}")
                    self.assertEqual(answer.status, 204, upload)
                tus.assert_file(self, server, answer, upload.data)
                again = client.head(upload.target)
                self.assertEqual(again.headers["upload-offset"], str(length), upload)
        return finished, kept

    def assert_nothing_is_lost(self, crash, **options):
        """crash(server): takes the server away; afterwards the root can be served again."""
        count = finished = kept = 0
        for number in range(ROUNDS):
            with support.Sluice(root=self.root, engine=self.engine, durability=self.durability, conflict="rename",
                                **options) as server:
                with Uploads(server, seed=1 + number * 1_000_000) as clients:
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

    def test_kill_with_named_temporary_files_loses_nothing(self):
        self.assert_nothing_is_lost(support.Sluice.kill, wrapper=faults.NO_TMPFILE)


class PowerLoss(Crash):
    def setUp(self):
        self.fs = faults.loop_fs(self, mib=512)
        self.root = os.path.join(self.fs.path, "root")

    def cut_power(self, server):
        self.fs.cut_power()
        server.kill()

    def cut_power_behind_a_commit(self, server):
        self.fs.commit_journal()
        self.cut_power(server)

    def after_crash(self):
        self.fs.unmount()
        self.fs.mount()

    def test_power_loss_loses_nothing(self):
        self.assert_nothing_is_lost(self.cut_power)

    def test_power_loss_just_behind_a_commit_of_the_journal_loses_nothing(self):
        """States are on the disk, and bytes that nobody synced may not be."""
        self.assert_nothing_is_lost(self.cut_power_behind_a_commit)

    def test_power_loss_with_named_temporary_files_loses_nothing(self):
        self.assert_nothing_is_lost(self.cut_power, wrapper=faults.NO_TMPFILE)


faults.on_each_engine(globals(), Kill, PowerLoss)

if __name__ == "__main__":
    unittest.main()
