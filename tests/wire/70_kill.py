"""kill -9 and SIGTERM under load: what was acknowledged is there, no name holds a part, and nothing is left behind
after the next start.

SLUICE_ROUNDS sets how often each case is repeated, for a soak.
"""

import os
import random
import signal
import subprocess
import tempfile
import time
import unittest

import faults
import support
import uploaders

ROUNDS = int(os.environ.get("SLUICE_ROUNDS", "4"))
ACKS = (5, 60)  # the kill comes after so many acknowledgments
STOP_SECONDS = 7  # the drain's 2, and what giving back takes
CUT_OFF = 4  # the exit code
OWN_PIDS = ["unshare", "--pid", "--fork", "--kill-child"]


class Kill:
    """With the temporary files that this file system can have: unnamed ones on most."""

    engine = None
    wrapper = []
    banner = "temporary files"

    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-kill-"))
        self.root = os.path.join(folder, "root")

    def start(self, **options):
        return support.Sluice(root=self.root, engine=self.engine, wrapper=self.wrapper, **options)

    def kill_under_load(self, load, **options):
        """Returns what the clients had been promised."""
        with self.start(**options) as server:
            with uploaders.Uploaders(server, **load) as clients:
                clients.wait_for_acks(random.randint(*ACKS))
                server.kill()
        self.assertEqual(clients.refused, [])
        return clients.acked

    def assert_nothing_is_lost(self, load, **options):
        acked, count, temporary = {}, 0, 0
        for number in range(ROUNDS):
            newer = self.kill_under_load({"seed": 1 + number * 1_000_000, **load}, **options)
            acked, count = acked | newer, count + len(newer)
            self.assertEqual(faults.lost(self.root, acked), [], "acknowledged, and not there or not whole")
            self.assertEqual(faults.broken(self.root), [], "a name with something else than a whole file")
            temporary += sum(1 for name in os.listdir(os.path.join(self.root, "uploads"))
                             if name not in support.KEPT_IN_UPLOADS and not support.UPLOAD_ID.fullmatch(name))
            if number % 4 == 3:
                self.assert_restart_cleans(**options)
                faults.remove_but(self.root, newer)
                acked = newer
        self.assert_restart_cleans(**options)
        faults.note(f"{ROUNDS} kills, {count} acknowledged files whole, {temporary} temporary files cleaned away")

    def assert_restart_cleans(self, **options):
        with self.start(**options) as server:
            self.assertIn(self.banner, server.said("root"))
            self.assertEqual(server.temp_files(), [], "left in uploads/ after a restart")
            self.assertEqual(faults.other_digests(server, self.root), [])
            self.assertEqual(support.curl("-T", __file__, server.url + "/after").status, 201)
        server.path("after").unlink()

    def test_kill_under_load_loses_nothing(self):
        self.assert_nothing_is_lost({})

    def test_kill_while_overwriting_leaves_old_or_new(self):
        self.assert_nothing_is_lost(uploaders.OVERWRITING, conflict="overwrite")

    def test_kill_among_the_commits_of_one_form(self):
        """Some of its files are there and some are not, each whole; nobody was told anything yet."""
        seen, options = [], {"name": "{filename}", "conflict": "overwrite"}
        while len(seen) < ROUNDS or len(seen) < ROUNDS * 10 and not self.has_partial(seen):
            form = faults.BigForm(1 + len(seen) * 1000)
            with self.start(**options) as server:
                with form.send_until_one_is_seen(server):
                    server.kill()
                seen.append(len(server.stored()))
                self.assertEqual(faults.broken(self.root), [], "a name with something else than a whole file")
            with self.start(**options) as server:
                self.assertEqual((server.temp_files(), len(server.stored())), ([], seen[-1]))
                with support.raw(server, seconds=60) as client:
                    self.assertEqual(client.send(form.request()).answer().status, 201)
                self.assertEqual(server.stored(), sorted(form.names))
                self.assertEqual((faults.broken(self.root), faults.other_digests(server, self.root)), ([], []))
            faults.remove_but(self.root, ())
        faults.note(f"{seen} of {form.COUNT} files committed")
        self.assertTrue(self.has_partial(seen), f"never hit a form in the middle: {seen}")

    @staticmethod
    def has_partial(seen):
        return any(count < faults.BigForm.COUNT for count in seen)


class KillNamed(Kill):
    """With temporary files that have names, as where the file system knows no others."""

    wrapper = faults.NO_TMPFILE
    banner = ", named temporary files"


class Stop:
    """SIGTERM, the polite way: what is in flight finishes or is given back, and the exit code is 0."""

    engine = None

    def test_stop_under_load_loses_nothing(self):
        with support.Sluice(engine=self.engine) as server:
            with uploaders.Uploaders(server) as clients:
                clients.wait_for_acks(random.randint(*ACKS))
                server.stop()
            self.assertEqual(clients.refused, [])
            self.assertEqual(faults.lost(server.root, clients.acked), [])
            self.assertEqual(faults.broken(server.root), [])

    def test_stop_waits_for_stalled_clients_once_not_once_a_loop(self):
        with support.Sluice(engine=self.engine, wrapper=faults.NO_TMPFILE, loops=3, shutdown_timeout=2) as server:
            clients = [self.enterContext(support.raw(server)) for _ in range(20)]
            for number, client in enumerate(clients):
                client.send(b"PUT /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\npart" % number)
            support.wait_until(lambda: len(server.temp_files()) == len(clients), "all uploads begun")
            begin = time.monotonic()
            server.terminate()
            self.assertEqual(server.wait(), CUT_OFF)
            self.assertTrue(2 <= time.monotonic() - begin < STOP_SECONDS)
            self.assertEqual((server.stored(), server.temp_files()), ([], []))

    def test_who_cannot_wait_cuts_all_off_at_once(self):
        with support.Sluice(engine=self.engine, shutdown_timeout=0) as server:
            with support.raw(server) as client:
                client.send(b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n")
                client.head()
                server.terminate()
                self.assertEqual(server.wait(), CUT_OFF)
            self.assertEqual((server.stored(), server.temp_files()), ([], []))

    def test_a_second_signal_ends_it_at_once(self):
        with support.Sluice(engine=self.engine, shutdown_timeout=3600) as server:
            with support.raw(server) as client:
                client.send(b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n")
                client.head()
                server.terminate()
                support.wait_until(lambda: any("stopping on signal" in line for line in server.log), "the first one")
                server.terminate()
                self.assertEqual(server.wait(), -signal.SIGTERM)


class TwoServers:
    """Two containers on one volume, as in a rolling restart: each believes to be process 1."""

    engine = None

    def start(self, root):
        wrapper = [*OWN_PIDS, *faults.NO_TMPFILE]
        return support.Sluice(root=root, engine=self.engine, wrapper=wrapper, durability="none")

    @unittest.skipUnless(subprocess.run([*OWN_PIDS, "true"], capture_output=True).returncode == 0,
                         "no process namespaces here (they take root and unshare)")
    def test_their_temporary_files_do_not_meet(self):
        root = os.path.join(self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-two-")), "root")
        with self.start(root) as one, self.start(root) as two:
            with uploaders.Uploaders(one, seed=1) as ones, uploaders.Uploaders(two, seed=1_000_000) as twos:
                ones.wait_for_acks(100)
                twos.wait_for_acks(100)
            self.assertEqual(ones.refused + twos.refused, [])
            one.kill()
            two.kill()
        self.assertEqual(faults.lost(root, ones.acked | twos.acked), [])
        self.assertEqual(faults.broken(root), [])


faults.on_each_engine(globals(), Kill, KillNamed, Stop, TwoServers)

if __name__ == "__main__":
    unittest.main()
