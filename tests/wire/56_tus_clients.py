"""Clients of tus that others wrote: tus-js-client (which speaks two versions of the draft, too), tuspy, and curl in the
hands of a shell script. Each time the stored file is what was sent, and its digest is that of the whole, however many
requests it came in."""

import asyncio
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import urllib.parse
import warnings

import faults
import npm_packages
from support import Sluice, content, digest_field, path_of, raw, sha256, sha256_of, wait_until

KIB, MIB = 1 << 10, 1 << 20
HERE = pathlib.Path(__file__).resolve().parent
LARGE = (8 if faults.is_sanitized() else 32) * MIB + 4321
SECONDS = 150
NAME = "\u00e4 b, c.txt"

os.environ["NO_PROXY"] = "*"  # these clients would ask the environment's
try:
    import tusclient.client
    import tusclient.exceptions
    import tusclient.storage.filestorage
    WHY_NO_TUSPY = None
except ImportError:
    sys.path.append("/usr/lib/python3/dist-packages")  # another Python than Debian's
    try:
        import tusclient.client
        import tusclient.exceptions
        import tusclient.storage.filestorage
        WHY_NO_TUSPY = None
    except ImportError as error:
        WHY_NO_TUSPY = f"tuspy (python3-tuspy): {error}"


class Case(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Sluice(durability="none"))
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-wire-")))
        self.endpoint = f"{self.server.url}/files/"

    def sample(self, data, name="sample"):
        path = self.folder / name
        path.write_bytes(data)
        return path

    def assert_stored(self, data, url, name=None):
        """The upload is finished: its URL names the file, which holds `data`, and so says its digest."""
        with raw(self.server) as client:
            head = client.request("HEAD", urllib.parse.urlsplit(url).path, headers=["Tus-Resumable: 1.0.0"])
            self.assertEqual(head.headers["upload-offset"], str(len(data)))
            self.assertEqual(head.headers["upload-length"], str(len(data)))
            stored = path_of(head.headers["content-location"])
            if name is not None:
                self.assertRegex(stored, r"^[0-9/]+[a-z2-7]{26}-" + re.escape(name) + "$")
            self.assertEqual(self.server.path(stored).stat().st_size, len(data))
            self.assertEqual(sha256(self.server.path(stored)), sha256_of(data))
            for target in (urllib.parse.urlsplit(where).path for where in (url, head.headers["content-location"])):
                answer = client.request("GET", target)
                self.assertEqual((answer.status, sha256_of(answer.body)), (200, sha256_of(data)))
                self.assertEqual(answer.headers["repr-digest"], digest_field(data, "sha-256"))
        return answer

    def head(self, url, *headers):
        with raw(self.server) as client:
            return client.request("HEAD", urllib.parse.urlsplit(url).path, headers=["Tus-Resumable: 1.0.0", *headers])


# ---- tus-js-client ----


class End:
    """What came of a job of tus_client.js."""

    def __init__(self, told):
        self.outcome, self.message, self.url = told["outcome"], told.get("message"), told.get("url")
        self.requests = told["requests"]

    def methods(self):
        return [request["method"] for request in self.requests]

    def statuses(self):
        return [(request["method"], request["status"]) for request in self.requests]

    def of(self, method):
        return [request for request in self.requests if request["method"] == method]

    def __repr__(self):
        return f"<{self.outcome} {self.message} {json.dumps(self.requests, indent=1)}>"


class JsCase(Case):
    DRAFT = None  # else the protocol's name in tus-js-client

    @classmethod
    def setUpClass(cls):
        if shutil.which("node") is None:
            raise unittest.SkipTest("there is no node (nodejs)")
        try:
            cls.modules = npm_packages.modules()
        except npm_packages.Missing as error:
            raise unittest.SkipTest(f"no tus-js-client: {error}") from error

    def start(self, file, job=None, **options):
        options = {"endpoint": self.endpoint, "metadata": {"filename": NAME, "filetype": "text/x-thing"}, **options}
        if self.DRAFT:
            options["protocol"] = self.DRAFT
        job = {"modules": str(self.modules), "file": str(file), "options": options, **(job or {})}
        process = subprocess.Popen(["node", HERE / "tus_client.js", json.dumps(job)], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        """What came of it; also the cleanup of one that was left."""
        if process.stdout.closed:
            return None
        try:
            told, errors = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            told, errors = process.communicate()
        events = [json.loads(line) for line in told.splitlines()]
        if not events or events[-1]["event"] != "end":
            raise AssertionError(f"exit code {process.returncode}: {told} {errors}")
        return End(events[-1])

    def run_js(self, file, job=None, **options):
        return self.end(self.start(file, job, **options))

    def done(self, file, job=None, **options):
        end = self.run_js(file, job, **options)
        self.assertEqual(end.outcome, "done", end)
        return end

    def aborted_then_resumed(self, data, at, source="file", **options):
        """The requests of the second client, which knows nothing but the URL that the first one kept."""
        sample, job = self.sample(data), {"storage": str(self.folder / "urls"), "source": source}
        first = self.run_js(sample, {**job, "abort_at": at}, **options)
        self.assertEqual(first.outcome, "aborted", first)
        return self.done(sample, {**job, "is_resumed": True}, **options)


class TusJs(JsCase):
    def test_plain(self):
        for size in (1, 4096, 4097, 300_000, LARGE):
            with self.subTest(size):
                data = content(size)
                end = self.done(self.sample(data))
                self.assertEqual(end.statuses(), [("POST", 201), ("PATCH", 204)])
                self.assert_stored(data, end.url)

    def test_nothing(self):
        end = self.done(self.sample(b""))
        self.assertEqual(end.statuses(), [("POST", 201)])
        self.assert_stored(b"", end.url)

    def test_chunked(self):
        data = content(1_000_000)
        for chunk, count in ((100_000, 10), (333_333, 4), (999_999, 2), (MIB, 1)):
            with self.subTest(chunk):
                end = self.done(self.sample(data), chunkSize=chunk)
                self.assertEqual(end.statuses(), [("POST", 201)] + [("PATCH", 204)] * count)
                self.assert_stored(data, end.url)

    def test_the_name_the_type_and_the_metadata_as_sent(self):
        data = content(1000)
        metadata = {"filename": NAME, "filetype": "text/x-thing; charset=utf-8", "empty": "", "relativePath": "a/b"}
        end = self.done(self.sample(data), metadata=metadata)
        sent = end.of("POST")[0]["sent"]["Upload-Metadata"]
        self.assertEqual(self.head(end.url).headers["upload-metadata"], sent)
        answer = self.assert_stored(data, end.url, NAME)
        self.assertEqual(answer.headers["content-type"], "text/x-thing; charset=utf-8")

    def test_without_metadata(self):
        data = content(1000)
        end = self.done(self.sample(data), metadata={})
        self.assertNotIn("upload-metadata", self.head(end.url).headers)
        self.assert_stored(data, end.url)

    def test_creation_with_upload(self):
        data = content(500_000)
        end = self.done(self.sample(data), uploadDataDuringCreation=True)
        self.assertEqual(end.statuses(), [("POST", 201)])
        self.assert_stored(data, end.url)
        end = self.done(self.sample(data), uploadDataDuringCreation=True, chunkSize=200_000)
        self.assertEqual(end.statuses(), [("POST", 201), ("PATCH", 204), ("PATCH", 204)])
        self.assert_stored(data, end.url)

    def deferred(self, size, source, **options):
        data = content(size)
        end = self.done(self.sample(data), {"source": source}, uploadLengthDeferred=True, **options)
        self.assertEqual(end.of("POST")[0]["sent"]["Upload-Defer-Length"], "1")
        self.assertEqual({status for _, status in end.statuses()[1:]}, {204}, end)
        self.assertEqual([request["sent"].get("Upload-Length") for request in end.requests[1:]],
                         [None] * (len(end.requests) - 2) + [str(size)])
        self.assert_stored(data, end.url)

    def test_deferred_length(self):
        """The client itself hangs over a file in chunks, and over a stream that ends with a chunk."""
        for size in (0, 1, 250_000, 300_000, 300_001):
            with self.subTest(size):
                self.deferred(size, "buffer", chunkSize=100_000)
        for size in (1, 250_000, 300_001):
            with self.subTest(size, source="stream"):
                self.deferred(size, "stream", chunkSize=100_000)
        self.deferred(LARGE, "file")

    def test_parallel(self):
        """By concatenation: its parts are no files."""
        for size, parts in ((1_000_000, 2), (1_000_003, 4), (LARGE, 3)):
            with self.subTest(size, parts=parts):
                data = content(size)
                before = self.server.stored()
                end = self.done(self.sample(data), parallelUploads=parts)
                self.assertEqual(sorted(end.methods()), ["PATCH"] * parts + ["POST"] * (parts + 1))
                last = end.requests[-1]
                self.assertEqual((last["method"], last["status"]), ("POST", 201))
                self.assertTrue(last["sent"]["Upload-Concat"].startswith("final;"))
                self.assert_stored(data, end.url)
                self.assertEqual(len(self.server.stored()), len(before) + 1)
                self.assertEqual(self.head(end.url).headers["upload-concat"], last["sent"]["Upload-Concat"])

    def test_parallel_with_uploads_during_creation_in_chunks(self):
        data = content(1_000_000)
        end = self.done(self.sample(data), parallelUploads=3, uploadDataDuringCreation=True, chunkSize=100_000)
        self.assert_stored(data, end.url)

    def test_resumed_after_an_abort(self):
        """In the middle of the one PATCH: what had come then is not sent again."""
        data = content(LARGE)
        end = self.aborted_then_resumed(data, LARGE // 2)
        self.assertEqual(end.statuses(), [("HEAD", 200), ("PATCH", 204)])
        self.assertGreater(int(end.of("PATCH")[0]["sent"]["Upload-Offset"]), 0)
        self.assertLessEqual(int(end.of("PATCH")[0]["sent"]["Upload-Offset"]), LARGE // 2 + MIB)
        self.assert_stored(data, end.url)

    def test_resumed_after_an_abort_between_chunks(self):
        data = content(MIB)
        end = self.aborted_then_resumed(data, 350_000, chunkSize=100_000)
        offsets = [int(request["sent"]["Upload-Offset"]) for request in end.of("PATCH")]
        self.assertGreaterEqual(offsets[0], 200_000)
        self.assert_stored(data, end.url)

    def test_resumed_after_a_stall(self):
        """The server cuts what stands still, and does not answer it: no 4xx is asked again."""
        data = content(LARGE)
        with Sluice(durability="none", body_timeout=1) as self.server:
            client = self.start(self.sample(data), {"tell_at": LARGE // 2}, retryDelays=[0, 100, 1000],
                                endpoint=f"{self.server.url}/files/")
            self.assertEqual(json.loads(client.stdout.readline())["event"], "reached")
            client.send_signal(signal.SIGSTOP)
            try:
                wait_until(lambda: any("error=body-timeout" in line for line in self.server.log), "it is given up")
            finally:
                client.send_signal(signal.SIGCONT)
            end = self.end(client)
            self.assertEqual((end.outcome, end.statuses()), ("done", [("POST", 201), ("HEAD", 200), ("PATCH", 204)]))
            self.assertGreater(int(end.of("HEAD")[0]["headers"]["upload-offset"]), 0)
            self.assert_stored(data, end.url)

    def test_resumed_after_an_abort_in_the_creation(self):
        """Its URL was not answered yet, so there is nothing to go on with, and nothing is left."""
        data = content(LARGE)
        sample, storage = self.sample(data), str(self.folder / "urls")
        first = self.run_js(sample, {"storage": storage, "abort_at": LARGE // 2}, uploadDataDuringCreation=True)
        self.assertEqual((first.outcome, first.requests), ("aborted", []))
        end = self.done(sample, {"storage": storage}, uploadDataDuringCreation=True)
        self.assert_stored(data, end.url)

    def test_parallel_resumed_after_an_abort(self):
        data = content(LARGE)
        end = self.aborted_then_resumed(data, LARGE // 2, parallelUploads=3)
        self.assertEqual(len(end.of("HEAD")), 3)
        self.assertEqual(end.statuses()[-1], ("POST", 201))
        self.assert_stored(data, end.url)

    def test_resumed_when_it_was_complete(self):
        """The client did not see the last answer."""
        data = content(200_000)
        sample, storage = self.sample(data), str(self.folder / "urls")
        first = self.done(sample, {"storage": storage})
        again = self.done(sample, {"storage": storage, "is_resumed": True})
        self.assertEqual((again.url, again.statuses()), (first.url, [("HEAD", 200)]))
        self.assert_stored(data, again.url)

    def test_aborted_and_terminated(self):
        data = content(LARGE)
        end = self.run_js(self.sample(data), {"abort_at": LARGE // 2, "terminate": True})
        self.assertEqual((end.outcome, end.statuses()[-1]), ("aborted", ("DELETE", 204)), end)
        head = self.head(end.url)
        self.assertEqual(head.status, 404)
        self.assertNotIn("upload-offset", head.headers)
        self.assertEqual((self.server.stored(), self.server.kept()), ([], []))

    def test_a_client_that_cannot_say_patch(self):
        data = content(300_000)
        end = self.done(self.sample(data), overridePatchMethod=True, chunkSize=100_000)
        self.assertEqual(end.statuses(), [("POST", 201)] + [("POST", 204)] * 3)
        self.assert_stored(data, end.url)

    def test_request_ids_come_back(self):
        data = content(1000)
        end = self.done(self.sample(data), addRequestId=True)
        for request in end.requests:
            self.assertRegex(request["sent"]["X-Request-ID"], "^[0-9a-f-]{36}$")
            self.assertEqual(request["headers"]["x-request-id"], request["sent"]["X-Request-ID"])
        self.assert_stored(data, end.url)

    def test_the_server_is_killed_and_comes_back(self):
        """In the middle of a PATCH; the client tries again until it is there, and loses little."""
        data = content(LARGE)
        self.server.command[self.server.command.index("127.0.0.1:0")] = f"127.0.0.1:{self.server.port}"
        client = self.start(self.sample(data), {"tell_at": LARGE // 2}, retryDelays=[0] + [100] * 300,
                            chunkSize=LARGE // 4)
        self.assertEqual(json.loads(client.stdout.readline())["event"], "reached")
        self.server.kill()
        self.server.start()
        end = self.end(client)
        self.assertEqual(end.outcome, "done", end)
        self.assertEqual(len(end.of("POST")), 1, "it did not start from zero")
        self.assertGreater(int(end.of("HEAD")[-1]["headers"]["upload-offset"]), 0)
        self.assert_stored(data, end.url)


class Draft05(JsCase):
    """Interop version 6, as tus-js-client speaks it. Out of a buffer where it is cut: of a file in chunks the client
    never says that it is complete."""
    DRAFT = "ietf-draft-05"

    def assert_stored(self, data, url, name=None):
        with raw(self.server) as client:
            answer = client.request("GET", urllib.parse.urlsplit(url).path)
        self.assertEqual((answer.status, sha256_of(answer.body)), (200, sha256_of(data)))
        stored = self.server.stored()
        self.assertIn(sha256_of(data), [sha256(self.server.path(name)) for name in stored])
        self.assertEqual(answer.headers["repr-digest"], digest_field(data, "sha-256"))

    def test_plain(self):
        for size in (1, 300_000, LARGE):
            with self.subTest(size):
                data = content(size)
                end = self.done(self.sample(data))
                self.assertEqual(end.methods(), ["POST", "PATCH"])
                self.assert_stored(data, end.url)

    def test_chunked(self):
        data = content(1_000_000)
        end = self.done(self.sample(data), {"source": "buffer"}, chunkSize=333_333)
        self.assertEqual(end.methods(), ["POST"] + ["PATCH"] * 4)
        self.assert_stored(data, end.url)

    def test_chunked_with_upload_during_creation(self):
        data = content(1_000_000)
        end = self.done(self.sample(data), {"source": "buffer"}, chunkSize=333_333, uploadDataDuringCreation=True)
        self.assertEqual(end.methods(), ["POST"] + ["PATCH"] * 3)
        self.assert_stored(data, end.url)

    def test_resumed_after_an_abort(self):
        data = content(LARGE)
        end = self.aborted_then_resumed(data, LARGE // 2, source="buffer")
        self.assertEqual(end.methods(), ["HEAD", "PATCH"])
        self.assertGreater(int(end.of("PATCH")[0]["sent"]["Upload-Offset"]), 0)
        self.assert_stored(data, end.url)


class Draft03(Draft05):
    """Interop version 5: a PATCH has no media type."""
    DRAFT = "ietf-draft-03"


# ---- tuspy ----


@unittest.skipIf(WHY_NO_TUSPY, WHY_NO_TUSPY)
class Tuspy(Case):
    def setUp(self):
        super().setUp()
        self.enterContext(warnings.catch_warnings())
        warnings.simplefilter("ignore", ResourceWarning)  # tuspy leaves its files to the collector
        self.client = tusclient.client.TusClient(self.endpoint)

    def test_plain(self):
        for size in (1, 4096, 4097, LARGE):
            with self.subTest(size):
                data = content(size)
                uploader = self.client.uploader(str(self.sample(data)))
                uploader.upload()
                self.assert_stored(data, uploader.url)

    def test_chunked_with_metadata(self):
        data = content(1_000_000)
        uploader = self.client.uploader(str(self.sample(data)), chunk_size=123_456,
                                        metadata={"filename": NAME, "filetype": "text/x-thing"})
        uploader.upload()
        answer = self.assert_stored(data, uploader.url, NAME)
        self.assertEqual(answer.headers["content-type"], "text/x-thing")

    def test_checksums(self):
        data = content(1_000_000)
        uploader = self.client.uploader(str(self.sample(data)), chunk_size=300_000, upload_checksum=True)
        uploader.upload()
        self.assert_stored(data, uploader.url)

    def test_a_wrong_checksum_moves_nothing(self):
        data = content(1_000_000)
        uploader = self.client.uploader(str(self.sample(data)), chunk_size=300_000)
        uploader.upload(stop_at=300_000)
        uploader.upload_checksum = True
        uploader._BaseUploader__checksum_algorithm = lambda chunk: uploader.CHECKSUM_ALGORITHM_PAIR[1](b"else")
        with self.assertRaises(tusclient.exceptions.TusUploadFailed) as caught:
            uploader.upload()
        self.assertEqual(caught.exception.status_code, 460)
        self.assertEqual(uploader.get_offset(), 300_000)
        uploader.upload_checksum = False
        uploader.upload()
        self.assert_stored(data, uploader.url)

    def test_resumed_by_a_new_client(self):
        data = content(1_000_000)
        sample = str(self.sample(data))
        first = self.client.uploader(sample, chunk_size=123_457)
        first.upload(stop_at=3 * 123_457)
        second = tusclient.client.TusClient(self.endpoint).uploader(sample, url=first.url)
        self.assertEqual(second.offset, 3 * 123_457)
        second.upload()
        self.assert_stored(data, second.url)

    def test_resumed_out_of_its_storage_after_a_restart(self):
        data = content(1_000_000)
        sample, storage = str(self.sample(data)), str(self.folder / "urls")
        self.server.command[self.server.command.index("127.0.0.1:0")] = f"127.0.0.1:{self.server.port}"
        first = self.client.uploader(sample, chunk_size=99_999, store_url=True,
                                     url_storage=tusclient.storage.filestorage.FileStorage(storage))
        first.upload(stop_at=5 * 99_999)
        self.server.stop()
        self.server.start()
        second = self.client.uploader(sample, store_url=True,
                                      url_storage=tusclient.storage.filestorage.FileStorage(storage))
        self.assertEqual((second.url, second.offset), (first.url, 5 * 99_999))
        second.upload()
        self.assert_stored(data, second.url)

    def test_asynchronous(self):
        data = content(1_000_000)
        uploader = self.client.async_uploader(str(self.sample(data)), chunk_size=300_000)
        asyncio.run(uploader.upload())
        self.assert_stored(data, uploader.url)


# ---- curl ----

BY_HAND = r"""
set -eu
file=$1 endpoint=$2 piece=$3
tus='Tus-Resumable: 1.0.0'
ask() { curl -q -sS --noproxy '*' --fail-with-body -H "$tus" "$@"; }
field() { tr -d '\r' | sed -n "s/^$1: //Ip"; }

size=$(wc -c <"$file")
url=$(ask -i -X POST -H "Upload-Length: $size" -H "Upload-Metadata: filename $(printf by-hand | base64)" "$endpoint" |
    field Location)
while offset=$(ask -I "$url" | field Upload-Offset) && [ "$offset" -lt "$size" ]; do
    tail -c "+$((offset + 1))" "$file" | head -c "$piece" |
        ask -X PATCH -H 'Content-Type: application/offset+octet-stream' -H "Upload-Offset: $offset" \
            ${4:+-H "$4"} --data-binary @- "$url"
done
echo "$url"
"""


class Curl(Case):
    def by_hand(self, data, piece, header=None):
        done = subprocess.run(["sh", "-c", BY_HAND, "by-hand", self.sample(data), self.endpoint, str(piece),
                               *([header] if header else [])], capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertRegex(done.stdout, r"^http://\S+/uploads/[a-z2-7]{26}\n$")
        return done.stdout.strip()

    def test_a_script_in_pieces(self):
        for size, piece in ((1, 1), (10_000, 999), (100_000, 4096), (1_000_000, 333_333), (LARGE, 5_000_000)):
            with self.subTest(size, piece=piece):
                data = content(size)
                self.assert_stored(data, self.by_hand(data, piece))

    def test_a_script_in_pieces_of_unknown_length(self):
        data = content(100_000)
        self.assert_stored(data, self.by_hand(data, 33_333, "Transfer-Encoding: chunked"))

    def test_a_script_that_is_never_told_to_continue(self):
        """Expect, and a body at once."""
        data = content(100_000)
        self.assert_stored(data, self.by_hand(data, 33_333, "Expect: 100-continue"))


if __name__ == "__main__":
    unittest.main()
