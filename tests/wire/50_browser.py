"""The pages, as a person with a browser meets them: with and without JavaScript. Skipped where there is no chromium."""

import unittest

import support
import webdriver
from support import Sluice, content, curl, sha256_of

HOSTILE = "<img src=x onerror=alert(1)> \"quoted\" 'single' &amp; a=b&c.txt"
UNICODE = "Grüße – 写真 🎉.bin"
TAB, ENTER = "\ue004", "\ue007"


class WithJavaScript(webdriver.Case):
    def upload(self, browser, *paths):
        browser.choose("#file", *paths)
        browser.click("#go")

    def test_page_loads_without_a_word_on_the_console(self):
        _, browser = self.start()
        self.assertEqual(browser.title, "Upload files")
        self.assertEqual(browser.console(), [])
        self.assertEqual(browser.attributes("#go", "disabled"), [True])
        self.picture(browser, "empty")

    def test_console_would_tell(self):
        """The check above can fail: what the policy forbids is told."""
        _, browser = self.start()
        browser.script("const i = new Image(); i.src = `${location.protocol}//127.0.0.1:1/x.png`;"
                       "document.body.append(i);")
        told = support.wait_until(browser.console, "the policy's refusal on the console")
        self.assertIn("Content Security Policy", told[0])

    def test_two_files_are_stored_and_listed_with_their_digests(self):
        server, browser = self.start()
        files = {UNICODE: content(3 << 20), "notes.txt": b"hello\n"}
        self.upload(browser, *(self.file(name, data) for name, data in files.items()))
        browser.wait_for("li[data-state=stored]", 2)
        self.assertEqual(browser.texts("li a"), list(files))
        self.assertEqual(browser.texts("li code"), [f"sha256 {sha256_of(data)}" for data in files.values()])
        self.assertEqual(self.stored_content(server), sorted(files.values()))
        for url, data in zip(browser.attributes("li a", "href"), files.values()):
            self.assertEqual(curl(url).body, data)
        self.assertEqual(browser.texts("#told"), ["2 files stored"])
        self.assertEqual(browser.console(), [])
        self.picture(browser, "stored")

    def test_an_empty_file_is_stored(self):
        server, browser = self.start()
        self.upload(browser, self.file("empty", b""))
        browser.wait_for("li[data-state=stored]")
        self.assertEqual(self.stored_content(server), [b""])

    def test_a_hostile_name_is_text(self):
        _, browser = self.start()
        self.upload(browser, self.file(HOSTILE, b"x"))
        browser.wait_for("li[data-state=stored]")
        self.assertEqual(browser.texts("li a"), [HOSTILE])
        self.assertEqual(browser.find("img"), [])
        self.assertEqual(curl(browser.attributes("li a", "href")[0]).body, b"x")

    def test_a_refusal_shows_its_title_and_the_other_file_is_stored(self):
        server, browser = self.start(max_size="1k")
        self.upload(browser, self.file("large.bin", content(100_000)), self.file("small.txt", b"small"))
        browser.wait_for("li[data-state=failed]")
        browser.wait_for("li[data-state=stored]")
        self.assertIn("Content too large (413)", browser.texts("li[data-state=failed] p")[0])
        self.assertEqual(browser.texts("#told"), ["1 file stored, 1 file not stored"])
        self.assertEqual(self.stored_content(server), [b"small"])
        self.picture(browser, "refused")

    def test_a_file_that_was_refused_can_be_tried_again(self):
        server, browser = self.start(name="{filename}")
        curl("-T", self.file("a.txt", b"old"), server.url + "/")
        self.upload(browser, self.file("a.txt", b"new"))
        browser.wait_for("li[data-state=failed]")
        server.path("a.txt").unlink()
        browser.click("li button")
        browser.wait_for("li[data-state=stored]")
        self.assertEqual(self.stored_content(server), [b"new"])

    def test_cancel_ends_an_upload_and_nothing_is_stored(self):
        server, browser = self.start()
        browser.throttle(400_000)
        self.upload(browser, self.file("slow.bin", content(8 << 20)))
        browser.wait_for("li[data-state=sending]")
        support.wait_until(lambda: "KiB/s" in browser.texts("#numbers")[0], "a speed is shown")
        self.picture(browser, "sending")
        browser.click("#cancel")
        browser.wait_for("li[data-state=failed]")
        self.assertIn("Cancelled", browser.texts("li p")[0])
        support.wait_until(lambda: not server.temp_files() and not server.stored(), "nothing is left")

    def test_keyboard_alone_reaches_everything(self):
        _, browser = self.start()
        browser.choose("#file", self.file("a.txt", b"a"))
        reached = []
        for _ in range(3):
            browser.keys(TAB)
            reached.append(browser.focused())
        self.assertEqual(reached, ["file", "go", "BUTTON"])
        browser.script("document.getElementById('go').focus();")
        browser.keys(ENTER)
        browser.wait_for("li[data-state=stored]")

    def test_copy_link_works_where_there_is_no_clipboard_interface(self):
        _, browser = self.start()
        browser.script("Object.defineProperty(navigator, 'clipboard', { value: undefined });"
                       "document.addEventListener('copy', () => { window.copied = getSelection().toString(); });")
        self.upload(browser, self.file("a.txt", b"a"))
        browser.wait_for("li[data-state=stored]")
        browser.click("li button")
        support.wait_until(lambda: browser.texts("li button") == ["Copied"], "the button tells")
        self.assertEqual([browser.script("return window.copied;")], browser.attributes("li a", "href"))

    def test_dark_scheme(self):
        _, browser = self.start(flags=["--force-dark-mode"])
        self.upload(browser, self.file("photo.jpg", content(50_000)))
        browser.wait_for("li[data-state=stored]")
        self.picture(browser, "dark")
        color = browser.script("return getComputedStyle(document.body).backgroundColor;")
        self.assertEqual(color, "rgb(18, 22, 26)")


class WithoutJavaScript(webdriver.Case):
    def post(self, browser, *paths):
        browser.choose("#file", *paths)
        browser.click("#go")

    def test_the_form_ends_on_a_page_of_links_to_the_same_content(self):
        _, browser = self.start(javascript=False)
        files = [content(3 << 20), b"hello\n"]
        self.picture(browser, "plain")
        self.post(browser, self.file(UNICODE, files[0]), self.file("notes.txt", files[1]))
        browser.wait_for("li a", 2)
        self.assertIn("/done?file=", browser.url)
        self.assertEqual(browser.title, "Stored")
        self.assertEqual([curl(url).body for url in browser.attributes("li a", "href")], files)
        self.assertTrue(browser.texts("li a")[0].endswith(UNICODE))
        self.picture(browser, "done")

    def test_scripts_are_off(self):
        _, browser = self.start(javascript=False)
        self.assertEqual(browser.attributes("html", "className"), [""])

    def test_a_hostile_name_is_text(self):
        _, browser = self.start(javascript=False)
        self.post(browser, self.file(HOSTILE, b"x"))
        browser.wait_for("li a")
        self.assertTrue(browser.texts("li a")[0].endswith(HOSTILE))
        self.assertEqual(browser.find("img"), [])
        self.assertEqual(curl(browser.attributes("li a", "href")[0]).body, b"x")

    def test_many_files_fit_the_page_after_the_form(self):
        server, browser = self.start(javascript=False)
        names = [f"{number:03} {'ü' * 60}" for number in range(80)]
        self.post(browser, *(self.file(name, b"x") for name in names))
        support.wait_until(lambda: browser.title == "Stored", "the page after the form")
        shown = len(browser.find("li a"))
        self.assertEqual(len(server.stored()), 80)
        self.assertEqual(browser.texts("li")[-1], f"and {80 - shown} more")

    def test_a_refusal_shows_its_title(self):
        server, browser = self.start(javascript=False, max_size="1k")
        self.post(browser, self.file("large.bin", content(100_000)))
        support.wait_until(lambda: "Content too large" in " ".join(browser.texts("body")), "the problem's title")
        self.assertEqual(server.stored(), [])


class DonePage(unittest.TestCase):
    """What needs no browser."""

    def test_what_is_not_a_path_is_left_out(self):
        with Sluice() as server:
            query = "file=../../etc/passwd&file=ok.txt&file=%00&more=x&more=99999999999999999999"
            answer = curl(f"{server.url}/done?{query}")
            self.assertEqual(answer.text.count("<li>"), 1)
            self.assertIn('/files/ok.txt">ok.txt</a>', answer.text)

    def test_without_a_file_it_is_not_there(self):
        with Sluice() as server:
            for query in ("", "?", "?file=", "?file=..", "?more=3"):
                self.assertEqual(curl(server.url + "/done" + query).status, 404, query)

    def test_bytes_that_grow_when_escaped_fit(self):
        with Sluice(base_path="/" + "b" * 200 + "/") as server:
            names = "&".join("file=" + "'" * 200 for _ in range(30))
            host = "h" * 200 + ".test"
            answer = curl("-H", f"Host: {host}", f"{server.url}/done?{names}")
            self.assertEqual(answer.text.count("<li>"), 30)
            self.assertTrue(answer.text.endswith("</html>\n"))

    def test_policies_allow_no_foreign_content(self):
        with Sluice() as server:
            for page in ("/", "/done?file=a"):
                headers = curl(server.url + page).headers
                self.assertIn("default-src 'none'", headers["content-security-policy"])
                self.assertIn("frame-ancestors 'none'", headers["content-security-policy"])
                self.assertEqual(headers["x-content-type-options"], "nosniff")


if __name__ == "__main__":
    unittest.main()
