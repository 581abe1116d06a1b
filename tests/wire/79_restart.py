"""Restarts under load that lose nothing: while a supervisor holds the listening socket, one sluice takes over from
another, beside it or after it, and no client is refused, reset or told anything but the truth.

SLUICE_ROUNDS sets how often each case restarts, for a soak.
"""

import os
import signal
import socket
import ssl
import unittest

import dialects
import faults
import h2frames
import restarts
import support
import tus
import uploaders

ROUNDS = int(os.environ.get("SLUICE_ROUNDS", "3" if restarts.SLOWNESS == 1 else "1"))
PATIENT = {"shutdown_timeout": 100, "head_timeout": 20}  # those that could not know are waited for as long
PUT = b"PUT /files/%s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"


class Restart:
    engine = None

    def supervisor(self, **options):
        return self.enterContext(restarts.Supervisor(engine=self.engine, **options))

    def assert_nothing_is_lost(self, supervisor, server, load):
        self.assertEqual(load.failures, [])
        acked = load.acked
        self.assertEqual(faults.lost(supervisor.root, acked), [])
        with support.raw(supervisor, seconds=restarts.SECONDS) as client:
            for path in acked:
                got = client.request("HEAD", support.quoted(path))
                digests = support.parse_digest_field(got.headers["repr-digest"])
                of_file = support.digest("sha-256", server.path(path).read_bytes())
                self.assertEqual(digests["sha-256"], support.base64_of(of_file), path)
        for target, data in load.whole:
            with tus.Tus(supervisor, seconds=restarts.SECONDS) as client:
                path = tus.assert_file(self, server, client.head(target), data)
            acked[path] = None
        self.assertEqual(sorted(acked), server.stored(), "stored, and nobody was told")
        self.assertEqual(server.temp_files(), [])

    def restart_under_load(self, restart, durability):
        supervisor = self.supervisor(durability=durability)
        server = supervisor.start()
        with restarts.Load(supervisor) as load:
            for _ in range(ROUNDS):
                load.wait_for_more(1)
                if load.failures:
                    break
                server = restart(supervisor, server)
            load.wait_for_more(1)
        self.assert_nothing_is_lost(supervisor, server, load)
        server.terminate()
        supervisor.is_over(server)
        self.assertEqual(server.temp_files(), [])
        retries = sum(client.retries for client in load.clients)
        faults.note(f"{ROUNDS} restarts, {len(load.acked)} files and {len(load.whole)} resumable uploads whole, "
                    f"{retries} requests said again on a new connection")

    def test_the_new_one_beside_the_old_one(self):
        def restart(supervisor, old):
            new = supervisor.start()
            old.terminate()
            supervisor.is_over(old)
            return new

        self.restart_under_load(restart, "none")

    def test_the_new_one_after_the_old_one(self):
        def restart(supervisor, old):
            old.terminate()
            supervisor.is_over(old)
            return supervisor.start()

        self.restart_under_load(restart, "full")


def sockets_of(server):
    """The inodes of all sockets that it has open."""
    found = set()
    for fd in os.listdir(f"/proc/{server.pid}/fd"):
        try:
            kind, _, inode = os.readlink(f"/proc/{server.pid}/fd/{fd}").partition(":")
        except FileNotFoundError:
            continue  # closed since
        found |= {int(inode.strip("[]"))} if kind == "socket" else set()
    return found


class Handover(unittest.TestCase):
    """What the load would show only now and then."""

    def setUp(self):
        self.supervisor = self.enterContext(restarts.Supervisor(durability="none", loops=2, **PATIENT))

    def accepted(self, server, connect):
        """A client that the server has accepted."""
        before = sockets_of(server)
        client = self.enterContext(connect(self.supervisor))
        support.wait_until(lambda: sockets_of(server) - before, "accepted")
        return client

    def drain(self, server):
        """Returns when it accepts no more."""
        listening = os.fstat(self.supervisor.listener.fileno()).st_ino
        server.terminate()
        support.wait_until(lambda: listening not in sockets_of(server), "its listeners closed")

    def assert_answered(self, client, name, server):
        self.assertEqual(client.answer().status, 201)
        self.assertEqual(server.path(name).read_bytes(), b"hello")

    def test_who_has_just_connected_is_served(self):
        server = self.supervisor.start()
        client = self.accepted(server, support.Raw)
        self.drain(server)
        client.send(PUT % b"late")
        answer = client.answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (201, "close"))
        client.close()
        self.supervisor.is_over(server)
        self.assertEqual(server.stored(), ["late"])

    def test_who_is_shaking_hands_is_served(self):
        cert, key = dialects.certificate()
        self.supervisor = self.enterContext(restarts.Supervisor("tls", tls_cert=cert, tls_key=key, **PATIENT))
        for protocol in ("http/1.1", "h2"):
            with self.subTest(protocol=protocol):
                server = self.supervisor.start()
                plain = self.accepted(server, lambda at: socket.create_connection((at.host, at.port)))
                self.drain(server)
                context = ssl.create_default_context(cafile=cert)
                context.set_alpn_protocols([protocol])
                client = self.enterContext(context.wrap_socket(plain, server_hostname="localhost"))
                self.assertEqual(client.selected_alpn_protocol(), protocol)
                if protocol == "http/1.1":
                    client.sendall(PUT % b"late")
                    self.assertIn(b" 201 ", client.recv(100))
                else:
                    client.sendall(h2frames.PREFACE + h2frames.settings())
                    self.assertTrue(client.recv(9))
                client.close()
                self.supervisor.is_over(server)

    def test_who_says_nothing_keeps_it_for_a_while_only(self):
        self.supervisor.options["shutdown_timeout"] = 2
        server = self.supervisor.start()
        silent = self.accepted(server, support.Raw)
        self.drain(server)
        self.assertTrue(silent.is_closed_clean())
        self.supervisor.is_over(server)

    def stop_behind(self, server, say):
        """It is told to stop when what `say` says lies before it, unread."""
        os.kill(server.pid, signal.SIGSTOP)
        say()
        server.terminate()
        os.kill(server.pid, signal.SIGCONT)

    def test_what_was_said_before_the_end_is_served(self):
        for number in range(4):
            server = self.supervisor.start()
            client, name = self.accepted(server, support.Raw), b"said-%d" % number
            client.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(client.answer().status, 200)
            self.stop_behind(server, lambda: client.send(PUT % name))
            self.assert_answered(client, name.decode(), server)
            client.close()
            self.supervisor.is_over(server)

    def test_streams_begun_before_the_end_are_served(self):
        for number in range(4):
            server = self.supervisor.start()
            client = self.accepted(server, h2frames.H2)
            client.request(1, "PUT", f"/files/first-{number}", end=False)
            client.data(1, b"hello")
            self.assertEqual(client.answer(1).status, 201)
            self.stop_behind(server, lambda: client.request(3, "PUT", f"/files/{number}", end=False))
            client.data(3, b"hello")
            self.assertEqual(client.answer(3).status, 201)
            goaway = client.end()
            self.assertEqual((goaway.payload[:4], goaway.code), (b"\0\0\0\3", h2frames.NO_ERROR))
            self.supervisor.is_over(server)
            client.close()

    def test_who_comes_between_two_waits(self):
        with support.raw(self.supervisor) as early:
            early.send(PUT % b"early")
            server = self.supervisor.start()
            self.assert_answered(early, "early", server)
            self.drain(server)
            with support.raw(self.supervisor) as client:
                client.send(PUT % b"between")
                early.close()
                self.supervisor.is_over(server)
                server = self.supervisor.start()
                self.assert_answered(client, "between", server)

    def test_a_socket_file_stays_for_the_next(self):
        path = str(self.supervisor.folder / "door")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        with restarts.Supervisor(listener=listener) as supervisor:
            for number in range(2):
                server = supervisor.start()
                self.assertEqual(server.url, f"unix:{path}")
                with support.raw(supervisor) as client:
                    client.send(PUT % (b"%d" % number))
                    self.assert_answered(client, str(number), server)
                server.terminate()
                supervisor.is_over(server)
                self.assertTrue(os.path.exists(path))

    def test_one_that_reloads_tells_so(self):
        server = self.supervisor.start()
        server.process.send_signal(signal.SIGHUP)
        self.supervisor.hear(server, "RELOADING=1", "READY=1")
        self.assertIn("1 of whoever started it", server.said("sockets"))

    def test_one_that_cannot_start_leaves_the_other_serving(self):
        server = self.supervisor.start()
        self.supervisor.options["listen"] = "nonsense"
        with self.assertRaisesRegex(AssertionError, "exit code 2"):
            self.supervisor.start()
        with support.raw(self.supervisor) as client:
            client.send(PUT % b"still")
            self.assert_answered(client, "still", server)

    def test_an_upload_that_the_old_one_holds_is_refused_until_it_lets_go(self):
        data = uploaders.content(1, 500_000)
        old = self.supervisor.start()
        with tus.Tus(self.supervisor) as client:
            target = client.made(len(data))
        with support.raw(self.supervisor) as stalled:
            stalled.send(tus.patch_head(target, 0, len(data), "Expect: 100-continue"))
            self.assertEqual(stalled.answer().status, 100)
            stalled.send(data[:200_000])
            new = self.supervisor.start()
            self.drain(old)
            with tus.Tus(self.supervisor) as client:
                for answer in (client.head(target), client.patch(target, 0, data), client.delete(target)):
                    self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"), answer)
            self.assertEqual(old.kept(), [tus.id_of(target)])
        self.supervisor.is_over(old)
        with tus.Tus(self.supervisor) as client:
            offset = client.offset(target)
            self.assertEqual(offset, 200_000)
            answer = client.patch(target, offset, data[offset:])
            tus.assert_file(self, new, answer, data)

    def test_what_a_killed_one_left_goes_when_the_other_is_alone(self):
        self.supervisor.wrapper = faults.NO_TMPFILE
        old = self.supervisor.start()
        finished, left = (self.enterContext(support.Raw(self.supervisor)) for _ in range(2))
        for number, client in enumerate((finished, left)):
            client.send(b"PUT /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\nhello" % number)
        support.wait_until(lambda: len(old.temp_files()) == 2, "two uploads begun")
        new = self.supervisor.start()
        finished.send(bytes(200_000 - len(b"hello")))
        self.assertEqual(finished.answer().status, 201)
        self.assertEqual(len(new.temp_files()), 1)
        old.kill()
        support.wait_until(lambda: new.temp_files() == [], "the other's temporary file is removed")
        self.assertEqual(new.stored(), ["0"])

    def test_what_the_old_one_finished_takes_no_place_in_the_new_one(self):
        self.supervisor.options["max_uploads"] = 2
        old = self.supervisor.start()
        with tus.Tus(self.supervisor) as client:
            targets = [client.made(5) for _ in range(2)]
            self.assertEqual(client.create(5).status, 503)
            new = self.supervisor.start()  # and counts two
            os.kill(new.pid, signal.SIGSTOP)
            for target in targets:
                self.assertEqual(client.patch(target, 0, b"hello").status, 204)
        old.terminate()
        self.supervisor.is_over(old)
        os.kill(new.pid, signal.SIGCONT)
        with tus.Tus(self.supervisor) as client:
            support.wait_until(lambda: client.create(5).status == 201, "a place")
            self.assertEqual([client.create(5).status for _ in range(2)], [201, 503])


faults.on_each_engine(globals(), Restart)

if __name__ == "__main__":
    unittest.main()
