"""What is told of each request, and where: lines for people and for machines, a file that is opened anew."""

import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import tempfile
import unittest

import support
from support import ANSWER_SECONDS, Sluice, curl, run_program, wait_until

STAGES = {"queue_ms", "open_ms", "receive_ms", "write_ms", "flush_ms", "commit_ms", "sync_ms"}
TUS = ("-H", "Tus-Resumable: 1.0.0")
SECRET = "c2VjcmV0OmhlYWRlcg=="


def access(lines):
    """The requests among the lines of a log of JSON, by method."""
    found = [json.loads(line) for line in lines]
    return {line["method"]: line for line in found if "method" in line}


class Told(unittest.TestCase):
    def requests(self, server, methods):
        wait_until(lambda: methods <= access(server.log).keys(), "their lines")
        return access(server.log)

    def test_an_upload_is_told_with_its_id_digest_and_stages(self):
        body = os.urandom(3 << 20)
        with Sluice(log_format="json") as server:
            answer = curl("-T", "-", "-H", "Accept: application/json", server.url + "/a", data=body).json()
            line = self.requests(server, {"PUT"})["PUT"]
            self.assertEqual((line["upload_id"], line["bytes_in"], line["route"], line["status"]),
                             (answer["id"], len(body), "other", 201))
            self.assertEqual(line["digest"], "sha-256:" + hashlib.sha256(body).hexdigest())
            self.assertLessEqual(STAGES | {"hash_ms"}, line.keys())
            for stage in STAGES | {"hash_ms"}:
                self.assertLessEqual(line[stage], line["duration_ms"] + 0.1, stage)
            self.assertLessEqual(line["sync_ms"], line["commit_ms"] + 0.1)

    def test_what_is_not_synced_tells_no_sync(self):
        with Sluice(log_format="json", durability="none") as server:
            curl("-T", __file__, server.url + "/a")
            self.assertNotIn("sync_ms", self.requests(server, {"PUT"})["PUT"])

    def test_a_form_is_told_by_its_first_file(self):
        with Sluice(log_format="json") as server:
            answer = curl("-F", f"a=@{__file__}", "-F", f"b=@{support.__file__}", server.url).json()
            line = self.requests(server, {"POST"})["POST"]
            self.assertEqual((line["files"], line["upload_id"]), (2, answer["files"][0]["id"]))
            self.assertEqual(line["digest"], "sha-256:" + answer["files"][0]["sha256"])

    def test_all_requests_of_a_resumable_upload_have_its_id(self):
        body = os.urandom(100000)
        with Sluice(log_format="json") as server:
            made = curl("-X", "POST", *TUS, "-H", f"Upload-Length: {len(body)}", server.url + "/files/")
            url = made.headers["location"]
            curl("-X", "PATCH", *TUS, "-H", "Upload-Offset: 0", "-H", "Content-Type: application/offset+octet-stream",
                 "--data-binary", "@-", url, data=body)
            lines = self.requests(server, {"POST", "PATCH"})
            upload = url.rsplit("/", 1)[1]
            self.assertEqual([lines[method]["upload_id"] for method in ("POST", "PATCH")], [upload, upload])
            self.assertEqual(lines["PATCH"]["digest"], "sha-256:" + hashlib.sha256(body).hexdigest())
            self.assertEqual((lines["PATCH"]["route"], lines["PATCH"]["bytes_in"]), ("upload", len(body)))

    def test_a_refusal_is_told_with_its_code(self):
        with Sluice(log_format="json") as server:
            server.files.joinpath("a").write_bytes(b"x")
            curl("-T", __file__, server.url + "/a")
            line = self.requests(server, {"PUT"})["PUT"]
            self.assertEqual((line["status"], line["error"]), (409, "exists"))
            self.assertNotIn("digest", line)

    def test_text_tells_the_same(self):
        with Sluice() as server:
            answer = curl("-T", __file__, "-H", "Accept: application/json", server.url + "/a").json()
            wait_until(lambda: any("PUT" in line for line in server.log), "its line")
            self.assertRegex(next(line for line in server.log if "PUT" in line),
                             rf' upload={answer["id"]} digest=sha-256:{answer["sha256"]} queue=\d+\.\d\d\dms open=.*ms '
                             r'commit=\d+\.\d\d\dms sync=\d+\.\d\d\dms ua="curl/')

    def test_secrets_are_not_told(self):
        with Sluice(log_format="json") as server:
            curl("-T", __file__, "-H", f"Authorization: Basic {SECRET}", "-H", f"Cookie: a={SECRET}",
                 "-H", f"Proxy-Authorization: Bearer {SECRET}", server.url + "/a")
            self.requests(server, {"PUT"})
            self.assertNotIn(SECRET, "".join(server.log))


class Filed(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-logs-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.log = self.folder / "sluice.log"
        self.asked = 0

    def lines(self, path):
        return path.read_text().splitlines() if path.exists() else []

    def ask(self, server):
        """A request that is known by its target; its line may come a moment later than its answer."""
        connection = http.client.HTTPConnection(server.host, server.port, timeout=ANSWER_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", f"/ask-{self.asked}")
            self.assertEqual(connection.getresponse().status, 404)
        self.asked += 1

    def wait_for(self, path, what):
        wait_until(lambda: any(what in line for line in self.lines(path)), f"{what} in {path}")

    def test_lines_go_to_the_file_and_nowhere_else(self):
        with Sluice(log_file=self.log) as server:
            self.assertEqual(server.said("log"), str(self.log))
            self.ask(server)
            self.wait_for(self.log, "/ask-0 ")
            self.assertEqual(self.log.stat().st_mode & 0o777, 0o640 & ~self.umask())
        self.wait_for(self.log, "stopping on signal")
        self.assertEqual(server.log, [])

    def umask(self):
        mask = os.umask(0)
        os.umask(mask)
        return mask

    def test_an_old_file_is_gone_on_with(self):
        self.log.write_text("before\n")
        with Sluice(log_file=self.log) as server:
            self.ask(server)
            self.wait_for(self.log, "/ask-0 ")
        self.assertEqual(self.lines(self.log)[0], "before")

    def test_logrotate_loses_no_line(self):
        with Sluice(log_file=self.log, log_format="json") as server:
            for turn in range(5):
                for _ in range(10):
                    self.ask(server)
                self.log.rename(self.folder / f"sluice.log.{turn}")
                for _ in range(10):  # between the renaming and the signal, into what was renamed
                    self.ask(server)
                server.process.send_signal(signal.SIGHUP)
                self.wait_for(self.log, "log opened anew")
                self.ask(server)
                self.wait_for(self.log, f"/ask-{self.asked - 1}\"")
        found = [json.loads(line) for path in self.folder.iterdir() for line in self.lines(path)]
        targets = sorted(line["target"] for line in found if "target" in line)
        self.assertEqual(targets, sorted(f"/ask-{number}" for number in range(self.asked)))

    def test_what_cannot_be_opened_again_stays_and_is_told(self):
        moved = self.folder / "moved"
        with Sluice(log_file=self.log) as server:
            self.log.rename(moved)
            self.log.mkdir()
            server.process.send_signal(signal.SIGHUP)
            self.wait_for(moved, f"log-file: {self.log} cannot be opened again (Is a directory)")
            self.ask(server)
            self.wait_for(moved, "/ask-0 ")

    def test_a_file_that_cannot_be_written_stops_the_start(self):
        for path, why in ((self.folder / "no/log", "No such file or directory"), (self.folder, "Is a directory")):
            done = run_program("--log-file", str(path), "--root", str(self.folder / "root"), "--listen", "127.0.0.1:0")
            self.assertEqual(done.returncode, 3, done)
            self.assertRegex(done.stderr, rf"\Asluice: log-file: cannot write {path}: {why}; name one .*\n\Z")

    def test_a_full_disk_of_the_log_costs_lines_and_no_uploads(self):
        self.log.symlink_to("/dev/full")
        with Sluice(log_file=self.log) as server:
            for number in range(20):
                self.assertEqual(curl("-T", __file__, f"{server.url}/{number}").status, 201)
            self.log.unlink()
            server.process.send_signal(signal.SIGHUP)
            self.wait_for(self.log, "or could not be written: 2")  # 20 or 21: "log opened anew" may be among them

    def test_a_pipe_that_nobody_reads_does_not_hold_the_start(self):
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        done = run_program("--log-file", str(pipe), "--root", str(self.folder / "root"), "--listen", "127.0.0.1:0")
        self.assertEqual(done.returncode, 3, done)
        self.assertIn("No such device or address", done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to become another")
    def test_it_is_opened_anew_by_the_user_that_serves(self):
        root = self.folder / "root"
        root.mkdir()
        for path in (self.folder, root):
            os.chown(path, 65534, 65534)
        with Sluice(log_file=self.log, root=root, user="nobody") as server:
            self.assertEqual(self.log.stat().st_uid, 65534)
            self.log.rename(self.folder / "old")
            server.process.send_signal(signal.SIGHUP)
            self.wait_for(self.log, "log opened anew")


if __name__ == "__main__":
    unittest.main()
