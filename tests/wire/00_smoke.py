"""Does it start, take a file each way, give it back, and leave politely? If this is red, read no further."""

import json
import tempfile
import unittest

from support import Sluice, content, curl, raw, run_program, sha256, sha256_of, wait_until


class Start(unittest.TestCase):
    def test_help_lists_every_option_and_exits_with_0(self):
        done = run_program("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for word in ("Usage:", "--listen", "--root", "--durability", "--buffer-memory", "(128Mi)", "SLUICE_MAX_SIZE"):
            self.assertIn(word, done.stdout)

    def test_version_is_one_line(self):
        done = run_program("--version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"\Asluice \d+\.\d+\.\d+\n\Z")

    def test_bad_configuration_is_one_line_that_names_the_key_and_the_cure(self):
        for words, environment, key, cure in (
            (["--bogus"], {}, "--bogus", "--help"),
            (["--engine", "steam"], {}, "engine", "io_uring"),
            (["--max-size", "12Q"], {}, "max-size", ""),
            (["--durability=often"], {}, "durability", "full"),
            (["--name", "{who}"], {}, "name", "{filename}"),
            (["--base-path", "files"], {}, "base-path", "/"),
            ([], {"SLUICE_LOOPS": "none"}, "SLUICE_LOOPS", "auto"),
            ([], {"SLUICE_ROOTT": "x"}, "SLUICE_ROOTT", "SLUICE_ROOT?"),
        ):
            with self.subTest(words=words, environment=environment):
                done = run_program(*words, environment=environment)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertEqual(done.stderr.count("\n"), 1)
                self.assertRegex(done.stderr, r"\Asluice: (?!sluice:)")
                self.assertIn(key, done.stderr)
                self.assertIn(cure, done.stderr)

    def test_a_root_that_cannot_be_made_stops_the_start(self):
        done = run_program("--listen", "127.0.0.1:0", "--root", "/proc/sluice")
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stderr.count("\n"), 1)
        self.assertIn("/proc/sluice", done.stderr)

    def test_the_start_block_says_where_and_how(self):
        with Sluice(durability="data", engine="threads") as server:
            self.assertRegex(server.banner[0], r"\Asluice \d")
            self.assertRegex(server.said("listening"), r"\Ahttp://127\.0\.0\.1:\d+\Z")
            self.assertTrue(server.said("root").startswith(str(server.root)))
            self.assertTrue(server.said("engine").startswith("threads"))
            self.assertTrue(server.said("durability").startswith("data"))
            self.assertEqual(server.said("try"), f"curl -T FILE {server.url}/")

    def test_a_taken_port_is_told_and_not_shared(self):
        with Sluice() as server:
            done = run_program("--listen", f"{server.host}:{server.port}", "--root", str(server.root / "other"))
            self.assertNotEqual(done.returncode, 0)
            self.assertEqual(done.stderr, f"sluice: listen: cannot listen on {server.url}: Address already in use\n")

    def test_a_unix_socket_serves(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-wire-"))
        with Sluice(listen=f"unix:{folder}/socket") as server:
            answer = curl("--unix-socket", server.unix, "http://localhost/healthz")
            self.assertEqual((answer.status, answer.text), (200, "ok\n"))
            self.assertIn("--unix-socket", server.said("try"))


class Serve(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice())
        cls.sample = cls.server.root / "sample.bin"
        cls.sample.write_bytes(content(300_000))

    def test_healthz(self):
        answer = curl(f"{self.server.url}/healthz")
        self.assertEqual((answer.status, answer.text), (200, "ok\n"))

    def test_the_page_has_a_form_that_needs_no_script(self):
        answer = curl(f"{self.server.url}/")
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.headers["content-type"].startswith("text/html"))
        self.assertIn("default-src 'none'", answer.headers["content-security-policy"])
        for piece in ('method="post"', 'enctype="multipart/form-data"', 'type="file"', "<button"):
            self.assertIn(piece, answer.text)

    def test_put_then_get_gives_the_same_bytes(self):
        answer = curl("-T", self.sample, f"{self.server.url}/put/a.bin")
        self.assertEqual(answer.status, 201, answer)
        url = f"{self.server.url}/files/put/a.bin"
        self.assertEqual((answer.headers["location"], answer.text), (url, url + "\n"))
        self.assertEqual(sha256(self.server.path("put/a.bin")), sha256(self.sample))
        self.assertEqual(curl(url).body, self.sample.read_bytes())

    def test_curl_upload_to_the_home_takes_the_files_name(self):
        answer = curl("-T", self.sample, f"{self.server.url}/")
        self.assertEqual(answer.status, 201, answer)
        self.assertEqual(answer.headers["location"], f"{self.server.url}/files/sample.bin")

    def test_form(self):
        answer = curl("-F", f"file=@{self.sample}", "-F", "comment=hello", f"{self.server.url}/")
        self.assertEqual(answer.status, 201, answer)
        told = answer.json()
        self.assertIs(told["success"], True)
        self.assertEqual((told["name"], told["size"], told["sha256"]), ("sample.bin", 300_000, sha256(self.sample)))
        self.assertEqual(told["fields"], {"comment": ["hello"]})
        self.assertEqual(told["url"], answer.headers["location"])
        self.assertEqual(curl(told["url"]).body, self.sample.read_bytes())

    def test_a_file_that_is_not_there_is_a_problem(self):
        answer = curl(f"{self.server.url}/files/nothing")
        self.assertEqual((answer.status, answer.code), (404, "not-found"))
        problem = answer.json()
        self.assertEqual(set(problem), {"type", "title", "status", "detail", "code", "request-id"})
        self.assertEqual(problem["request-id"], answer.headers["x-request-id"])

    def test_the_access_log_has_a_line(self):
        curl(f"{self.server.url}/healthz?for-the-log")
        line = wait_until(lambda: [line for line in self.server.log if "for-the-log" in line], "a log line")[0]
        self.assertIn(" 200 ", line)


class Stop(unittest.TestCase):
    def test_sigterm_lets_an_upload_finish(self):
        body = content(400_000)
        with Sluice() as server, raw(server) as client:
            client.send(b"PUT /slow.bin HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n"
                        % len(body))
            self.assertEqual(client.answer().status, 100)
            client.send(body[:200_000])
            server.terminate()
            wait_until(lambda: any("stopping" in line for line in server.log), "the word that it stops")
            self.assertTrue(server.is_running())
            client.send(body[200_000:])
            answer = client.answer()
            self.assertEqual((answer.status, answer.headers["connection"]), (201, "close"))
            client.close()
            self.assertEqual(server.wait(), 0)
            self.assertEqual(sha256(server.path("slow.bin")), sha256_of(body))

    def test_sigterm_closes_idle_connections(self):
        with Sluice() as server, raw(server) as client:
            self.assertEqual(client.request("GET", "/healthz").status, 200)
            server.stop()
            self.assertTrue(client.is_closed_clean())

    def test_json_log_lines_are_json(self):
        with Sluice(log_format="json") as server:
            curl(f"{server.url}/files/%01\"", "--path-as-is")
            lines = wait_until(lambda: list(server.log), "a log line")
            for line in lines:
                json.loads(line)


if __name__ == "__main__":
    unittest.main()
