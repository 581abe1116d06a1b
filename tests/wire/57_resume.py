"""Uploads that are interrupted in every way: cut at any byte of request or answer, by a restart, by kill -9, by another
client. Each ends whole, with the digest of what was sent, and no offset that was told is ever taken back.

SLUICE_CUTS sets how often an upload is cut, for a soak; SLUICE_SEED repeats a run's random numbers.
"""

import os
import random
import select
import socket
import threading
import time
import unittest

import faults
import support
import tus
from support import Sluice, content, path_of, raw, wait_until

KIB, MIB = 1 << 10, 1 << 20
SLOWNESS = 5 if faults.is_sanitized() else 1
CUTS = int(os.environ.get("SLUICE_CUTS", 200 // SLOWNESS))
SEED = int(os.environ.get("SLUICE_SEED", random.randrange(1 << 30)))
ROUNDS = 5 if SLOWNESS == 1 else 2
AT_ONCE_SECONDS = 5  # for what must not wait for a client that sends nothing
WAIT_SECONDS = 60
ANSWER_BYTES = 700  # a cut in the answer comes within so many, as far as there are so many
RESET = b"\x01\0\0\0\0\0\0\0"  # SO_LINGER: close with RST


# ---- a proxy that cuts ----


class Cutter:
    """Stands where the server would be, for support.raw. Every connection through it is cut, by FIN or by RST, after a
    random number of bytes one way or the other: of the request within `request_bytes`, of some answers earlier. A
    context manager."""

    def __init__(self, server, request_bytes, seed):
        self.server, self.request_bytes, self.random = server, request_bytes, random.Random(seed)
        self.url, self.unix, self.cuts = server.url, None, 0
        self.lock, self.threads, self.is_over = threading.Lock(), [], False

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.host, self.port = self.listener.getsockname()
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        socket.create_connection((self.host, self.port)).close()  # wakes accept
        self.acceptor.join()
        for thread in self.threads:
            thread.join()
        self.listener.close()

    def _accept(self):
        while True:
            client, _ = self.listener.accept()
            if self.is_over:
                client.close()
                return
            self.threads = [thread for thread in self.threads if thread.is_alive()]
            self.threads.append(threading.Thread(target=self._serve, args=(client,), daemon=True))
            self.threads[-1].start()

    def _plan(self):
        """(bytes of the request, bytes of the answer) until the cut, and whether it is a RST for either side."""
        with self.lock:
            up = self.random.randrange(self.request_bytes)
            down = self.random.randrange(ANSWER_BYTES) if self.random.random() < 0.25 else 1 << 60
            return [up, down], self.random.random() < 0.5, self.random.random() < 0.5

    def _serve(self, client):
        left, is_client_reset, is_server_reset = self._plan()
        try:
            server = socket.create_connection((self.server.host, self.server.port))
        except OSError:
            client.close()
            return
        try:
            is_cut = self._carry(client, server, left)
        except OSError:
            is_cut = False  # it went by itself
        with self.lock:
            self.cuts += is_cut
        for end, is_reset in ((client, is_client_reset), (server, is_server_reset)):
            if is_cut and is_reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            end.close()

    def _carry(self, client, server, left):
        """True: cut. False: an end closed."""
        ways = {client: (server, 0), server: (client, 1)}
        while not self.is_over:
            for end in select.select([client, server], [], [], 0.2)[0]:
                other, way = ways[end]
                piece = end.recv(min(left[way], 1 << 16) or 1)
                if not piece:
                    return False
                if left[way] == 0:
                    return True
                left[way] -= len(piece)
                other.sendall(piece)
                if left[way] == 0 and way == 0:
                    return True
        return False


# ---- clients ----


class Resumer:
    """Sends `data` into one upload until it is whole, whatever breaks; an offset that goes back is an error."""

    def __init__(self, server, target, data, seed=SEED, piece_max=None):
        self.client, self.target, self.data = tus.Tus(server, seconds=WAIT_SECONDS), target, data
        self.random, self.piece_max = random.Random(seed), piece_max
        self.told, self.breaks, self.acks, self.answer = 0, 0, 0, None

    def take(self, offset):
        assert offset >= self.told, f"offset {offset} after {self.told} was told"
        assert offset <= len(self.data), f"offset {offset} of {len(self.data)} bytes"
        self.told = offset

    def step(self):
        """One HEAD and one PATCH. True: it is whole."""
        self.answer = self.client.head(self.target)
        assert self.answer.status in (200, 204), self.answer
        self.take(int(self.answer.headers["upload-offset"]))
        if self.told == len(self.data):
            return True
        end = len(self.data)
        if self.piece_max:
            end = min(end, self.told + self.random.randint(1, self.piece_max))
        answer = self.client.patch(self.target, self.told, self.data[self.told:end])
        if answer.status == 204:
            assert int(answer.headers["upload-offset"]) == end, answer
            self.take(end)
            self.acks += 1
        else:
            assert answer.status in (409, 503), answer  # somebody else, being stopped
            self.breaks += 1
        return False

    def try_step(self):
        try:
            return self.step()
        except tus.BROKEN:
            self.client.close()
            self.breaks += 1
            return False

    def run(self, seconds=WAIT_SECONDS):
        deadline = time.monotonic() + seconds * SLOWNESS
        while not self.try_step():
            assert time.monotonic() < deadline, f"at {self.told} of {len(self.data)} after {self.breaks} breaks"
        self.client.close()
        return self.answer


class Together:
    """Runs functions at once, in threads; the first error of any is raised at the end of the with."""

    def __init__(self, *functions):
        self.errors = []
        self.threads = [threading.Thread(target=self._run, args=(function,), daemon=True) for function in functions]

    def _run(self, function):
        try:
            function()
        except BaseException as error:
            self.errors.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        for thread in self.threads:
            thread.join(2 * WAIT_SECONDS * SLOWNESS)
        if kind is None and self.errors:
            raise self.errors[0]


# ---- the tests ----


class Case:
    engine = None

    def start(self, **options):
        return self.enterContext(Sluice(engine=self.engine, **options))

    def made(self, server, length, *lines):
        with tus.Tus(server) as client:
            return client.made(length, *lines)

    def assert_whole(self, server, answer, data):
        path = tus.assert_file(self, server, answer, data)
        with raw(server, seconds=WAIT_SECONDS) as client:
            got = client.request("GET", support.quoted(path))
        self.assertEqual(support.sha256_of(got.body), support.sha256_of(data))

    def assert_is_of(self, server, target, data):
        with tus.Tus(server, seconds=WAIT_SECONDS) as client:
            self.assert_whole(server, client.head(target), data)


class Cut(Case):
    def test_one_upload_cut_at_random_bytes(self):
        server, data = self.start(), content(10 * MIB // SLOWNESS + 13)
        with self.subTest(seed=SEED), Cutter(server, 2 * len(data) // CUTS, SEED) as cutter:
            upload = Resumer(cutter, self.made(server, len(data)), data)
            upload.run()
            self.assertGreater(cutter.cuts, CUTS // 2)
            faults.note(f"{cutter.cuts} cuts, {upload.breaks} of them noticed")
        self.assert_is_of(server, upload.target, data)
        self.assertEqual(len(server.stored()), 1)

    def test_many_uploads_cut_at_once(self):
        server, count = self.start(durability="none"), 8
        datas = [content(400_000 + 4096 * number + number, seed=number) for number in range(count)]
        with self.subTest(seed=SEED), Cutter(server, 60_000, SEED) as cutter:
            uploads = [Resumer(cutter, self.made(server, len(data)), data, SEED + 1, piece_max=100_000)
                       for data in datas]
            with Together(*(upload.run for upload in uploads)):
                pass
        for upload in uploads:
            self.assert_is_of(server, upload.target, upload.data)
        self.assertEqual(len(server.stored()), count)

    def test_checked_pieces_cut_at_random_bytes(self):
        """What breaks is never counted, for it was not checked; what was acknowledged is there."""
        server, data, piece = self.start(), content(600_000), 20_000
        target, acks, offset = self.made(server, len(data)), {0}, 0
        with self.subTest(seed=SEED), Cutter(server, 60_000, SEED) as cutter, \
                tus.Tus(cutter, seconds=WAIT_SECONDS) as client:
            while offset < len(data):
                try:
                    offset = client.offset(target)
                    self.assertIn(offset, acks, "an offset inside of a checked piece")
                    body = data[offset:offset + piece]
                    acks = {offset, offset + len(body)}
                    client.patch(target, offset, body, f"Upload-Checksum: {tus.checksum('sha1', body)}")
                except tus.BROKEN:
                    client.close()
        self.assert_is_of(server, target, data)

    def test_creations_cut_at_random_bytes(self):
        """Those whose URL was never told leave nothing, or a whole file; never a part of one."""
        server, data = self.start(durability="none"), content(50_000)
        told = set()
        with self.subTest(seed=SEED), Cutter(server, 80_000, SEED) as cutter:
            for _ in range(CUTS // 2):
                with tus.Tus(cutter, seconds=WAIT_SECONDS) as client:
                    try:
                        answer = client.create(len(data), body=data)
                    except tus.BROKEN:
                        continue
                    if answer.status == 201:
                        told.add(path_of(answer.headers["content-location"]))
        self.assertLessEqual(told, set(server.stored()))
        for path in server.stored():
            self.assertEqual(server.path(path).read_bytes(), data)
        wait_until(lambda: len(server.kept()) == len(server.stored()), "parts whose URL nobody knows are gone")


class Restart(Case):
    def test_stopped_in_the_middle_of_a_patch(self):
        server, data = self.start(), content(3 * MIB)
        upload = Resumer(server, self.made(server, len(data)), data)
        for _ in range(3):
            with raw(server) as client:
                begin, length = upload.told, 200_001
                client.send(tus.patch_head(upload.target, begin, len(data) - begin) + data[begin:begin + length])
                wait_until(lambda: self.has_taken(server, upload.target), "the upload is worked on")
                server.terminate()
                wait_until(lambda: self.is_refusing(server), "no new connections")
            self.assertEqual(server.wait(), 0, server.log[-20:])
            server.start()
            upload.client.close()
            with tus.Tus(server) as client:
                offset = client.offset(upload.target)
            self.assertEqual(offset, begin + length, "what had come by then is kept")
            upload.take(offset)
        upload.run()
        self.assert_is_of(server, upload.target, data)

    @staticmethod
    def has_taken(server, target):
        """Room is taken for all that is to come once its body is wanted, and given back where that breaks off."""
        return (server.uploads / tus.id_of(target)).stat().st_size >= 3 * MIB

    @staticmethod
    def is_refusing(server):
        try:
            socket.create_connection((server.host, server.port), timeout=1).close()
            return False
        except ConnectionRefusedError:
            return True
        except (ConnectionResetError, TimeoutError):
            return False  # it was in line, or its SYN on the way, when the listener was closed

    def test_stopped_while_many_are_under_way(self):
        self.interrupt(lambda server: server.stop())

    def test_killed_while_many_are_under_way(self):
        self.interrupt(lambda server: server.kill())

    def interrupt(self, end):
        """Uploads of many small pieces; the server ends at any moment, and comes again on another port."""
        server = self.start()
        datas = [content(2 * MIB + number, seed=number) for number in range(4)]
        uploads = [Resumer(server, self.made(server, len(data)), data, SEED + number, piece_max=100_000)
                   for number, data in enumerate(datas)]
        is_up, is_over = threading.Event(), threading.Event()
        is_up.set()

        def go(upload):
            while not is_over.is_set():
                is_up.wait(WAIT_SECONDS)
                if upload.try_step():
                    return

        rounds = random.Random(SEED)
        with self.subTest(seed=SEED), Together(*(lambda upload=upload: go(upload) for upload in uploads)) as threads:
            try:
                for _ in range(ROUNDS):
                    before = sum(upload.acks for upload in uploads)
                    more = rounds.randint(1, 12)
                    wait_until(lambda: threads.errors or sum(upload.acks for upload in uploads) >= before + more
                               or not any(thread.is_alive() for thread in threads.threads), "acknowledgments")
                    is_up.clear()
                    end(server)
                    server.start()
                    is_up.set()
            except BaseException:
                is_over.set()
                raise
        for upload in uploads:
            upload.run()
            self.assert_is_of(server, upload.target, upload.data)
        self.assertEqual(len(server.stored()), len(uploads))
        self.assertEqual(server.temp_files(), [])

    def test_killed_in_the_middle_of_a_patch(self):
        server, data = self.start(), content(8 * MIB)
        upload = Resumer(server, self.made(server, len(data)), data, piece_max=300_000)
        for _ in range(ROUNDS):
            upload.step()
            with raw(server) as client:
                client.send(tus.patch_head(upload.target, upload.told, len(data) - upload.told)
                            + data[upload.told:upload.told + 1_000_001])
                server.kill()
            server.start()
            upload.client.close()
            with tus.Tus(server) as client:
                upload.take(client.offset(upload.target))
        upload.run()
        self.assert_is_of(server, upload.target, data)

    def test_killed_right_after_the_last_byte(self):
        """The file has its name or gets it now: once, whole."""
        server = self.start()
        for number in range(ROUNDS):
            data = content(500_000 + number, seed=number)
            target = self.made(server, len(data))
            with raw(server) as client:
                client.send(tus.patch_head(target, 0, len(data)) + data)
                server.kill()
            server.start()
            upload = Resumer(server, target, data)
            upload.run()
            self.assert_is_of(server, target, data)
            self.assertEqual(len(server.stored()), number + 1)


class Others(Case):
    """More than one client on one upload."""

    def stalled(self, server, target, data, offset, length, *lines):
        """A client in the middle of a PATCH of all that is missing, which the server has begun to take."""
        client = self.enterContext(raw(server, seconds=AT_ONCE_SECONDS * SLOWNESS))
        client.send(tus.patch_head(target, offset, len(data) - offset, "Expect: 100-continue", *lines))
        self.assertEqual(client.answer().status, 100)
        client.send(data[offset:offset + length])
        return client

    def assert_ended(self, client):
        """It is told that another one goes on with its upload, or cut; it does not hang."""
        try:
            answer = client.answer()
            self.assertIn((answer.status, answer.code), ((409, "taken-over"), (404, "no-upload")))
        except TimeoutError:
            self.fail("the one before was left hanging")
        except tus.BROKEN:
            pass

    def asker(self, server):
        return self.enterContext(tus.Tus(server, seconds=AT_ONCE_SECONDS * SLOWNESS))

    def test_head_ends_a_patch_that_stalls(self):
        server, data = self.start(), content(500_000)
        client, target = self.asker(server), self.made(server, 500_000)
        begin = 0
        for sent in (1, 4095, 70_000, 100_001):
            stalled = self.stalled(server, target, data, begin, sent)
            offset = client.offset(target)
            self.assertGreaterEqual(offset, begin)
            self.assertLessEqual(offset, begin + sent)
            self.assert_ended(stalled)
            self.assertEqual(client.offset(target), offset, "it moved after it was told")
            begin = offset
        answer = client.patch(target, begin, data[begin:])
        self.assertEqual(answer.status, 204, answer)
        self.assert_whole(server, answer, data)

    def test_patch_ends_a_patch_that_stalls(self):
        server, data = self.start(), content(500_000)
        client, target, offset = self.asker(server), self.made(server, 500_000), 0
        for sent in (1, 4095, 70_000, 100_001):
            stalled = self.stalled(server, target, data, offset, sent)
            answer = client.patch(target, offset, data[offset:offset + 5])
            self.assertIn(answer.status, (204, 409), answer)
            self.assert_ended(stalled)
            offset = client.offset(target)
        answer = client.patch(target, offset, data[offset:])
        self.assert_whole(server, answer, data)

    def test_head_ends_a_checked_patch_and_takes_nothing_of_it(self):
        server, data = self.start(), content(500_000)
        client, target = self.asker(server), self.made(server, 500_000)
        line = f"Upload-Checksum: {tus.checksum('sha1', data)}"
        stalled = self.stalled(server, target, data, 0, 400_000, line)
        self.assertEqual(client.offset(target), 0)
        self.assert_ended(stalled)
        answer = client.patch(target, 0, data, line)
        self.assertEqual(answer.status, 204, answer)
        self.assert_whole(server, answer, data)

    def test_delete_ends_a_patch(self):
        server, data = self.start(), content(500_000)
        client = self.asker(server)
        for sent in (0, 1, 70_000, 499_999):
            target = self.made(server, len(data))
            stalled = self.stalled(server, target, data, 0, sent)
            self.assertEqual(client.delete(target).status, 204)
            self.assert_ended(stalled)
            self.assertEqual(client.head(target).status, 404)
            self.assertEqual((server.kept(), server.temp_files(), server.stored()), ([], [], []))

    def test_many_heads_during_a_patch(self):
        """Each may end it; whoever sends goes on from where it was told."""
        server, data = self.start(durability="none"), content(6 * MIB)
        target, is_over = self.made(server, len(data)), threading.Event()
        upload = Resumer(server, target, data)

        def send():
            try:
                upload.run()
            finally:
                is_over.set()

        def ask():
            with tus.Tus(server, seconds=WAIT_SECONDS) as client:
                told = 0
                while not is_over.is_set() and told < len(data):
                    offset = client.offset(target)
                    assert offset >= told, f"{offset} after {told}"
                    told = offset
                    is_over.wait(0.02)  # lets it get on

        with Together(send, ask):
            pass
        self.assert_is_of(server, target, data)

    def test_a_patch_said_again_while_the_first_still_stores(self):
        server = self.start(durability="full")
        for number in range(12 if SLOWNESS == 1 else 4):
            data = content(2 * MIB + number, seed=number)
            target = self.made(server, len(data))
            first = raw(server)
            first.send(tus.patch_head(target, 0, len(data)) + data)
            (first.reset, first.close, lambda: None)[number % 3]()
            with tus.Tus(server, seconds=WAIT_SECONDS) as client:
                answer = client.patch(target, 0, data)
                self.assertIn(answer.status, (204, 409, 403), answer)
            self.addCleanup(first.close)
            Resumer(server, target, data).run()
            self.assert_is_of(server, target, data)
            self.assertEqual(len(server.stored()), number + 1)

    def test_three_at_the_same_offset_have_one_winner(self):
        server = self.start(durability="none")
        datas = [content(3000, seed=f"writer {number}") for number in range(3)]
        wins = 0
        for _ in range(30 // SLOWNESS):
            target, statuses, gun = self.made(server, 3000), {}, threading.Barrier(3)

            def write(number):
                with tus.Tus(server, seconds=WAIT_SECONDS) as client:
                    client.connection()
                    gun.wait()
                    try:
                        statuses[number] = client.patch(target, 0, datas[number]).status
                    except tus.BROKEN:
                        statuses[number] = 0

            with Together(*(lambda number=number: write(number) for number in range(3))):
                pass
            winners = [number for number, status in statuses.items() if status == 204]
            self.assertLessEqual(len(winners), 1, statuses)
            self.assertLessEqual(set(statuses.values()), {204, 409, 403, 0})
            wins += len(winners)
            if winners:
                self.assert_is_of(server, target, datas[winners[0]])
            else:
                self.assert_begun_by_one(server, target, datas)
        self.assertGreater(wins, 0)

    def assert_begun_by_one(self, server, target, datas):
        """The last who took it over was refused because of what another one had stored by then."""
        with tus.Tus(server) as client:
            offset = client.offset(target)
            self.assertTrue(0 < offset < len(datas[0]), offset)
            answer = client.patch(target, offset, datas[0][offset:])
        found = server.path(path_of(answer.headers["content-location"])).read_bytes()
        tus.assert_file(self, server, answer, found)
        self.assertIn(found[:offset], [data[:offset] for data in datas])
        self.assertEqual(found[offset:], datas[0][offset:])

    def test_three_writers_have_exact_bytes(self):
        """Each sends bytes of its own; what one was told is stored is there, and all else is somebody's as well."""
        server, size = self.start(durability="none"), 1 * MIB
        datas, acked = [content(size, seed=f"writer {number}") for number in range(3)], []
        target = self.made(server, size)

        def write(number):
            numbers, told = random.Random(SEED + number), 0
            with tus.Tus(server, seconds=WAIT_SECONDS) as client:
                while True:
                    try:
                        offset = client.offset(target)
                        assert offset >= told, f"{offset} after {told}"
                        told = offset
                        if told == size:
                            return
                        piece = datas[number][told:told + numbers.randint(1, 60_000)]
                        answer = client.patch(target, told, piece)
                    except tus.BROKEN:
                        client.close()
                        continue
                    assert answer.status in (204, 409, 403), answer
                    if answer.status == 204:
                        acked.append((told, told + len(piece), number))
                        told += len(piece)

        with self.subTest(seed=SEED), Together(*(lambda number=number: write(number) for number in range(3))):
            pass
        self.assert_joined(server, target, datas, acked)

    def assert_joined(self, server, target, datas, acked):
        with tus.Tus(server) as client:
            found = server.path(path_of(client.head(target).headers["content-location"])).read_bytes()
        self.assertEqual(len(found), len(datas[0]))
        acked.sort()
        for (_, end, _), (begin, _, _) in zip(acked, acked[1:]):
            self.assertLessEqual(end, begin, "the same bytes were taken twice")
        for begin, end, number in acked:
            self.assertEqual(found[begin:end], datas[number][begin:end], "bytes of somebody else")
        for at, byte in enumerate(found):
            if not any(data[at] == byte for data in datas):
                self.fail(f"byte {at} is nobody's")
        self.assert_is_of(server, target, found)


faults.on_each_engine(globals(), Cut, Restart, Others)

if __name__ == "__main__":
    unittest.main()
