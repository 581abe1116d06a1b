"""The form as a browser without JavaScript sends it: files, text fields, names in any script; and the page it ends on,
which lists name, size, digest and link of each file."""

import html
import re
import unittest

import webdriver
from support import Site, base64_of, content, curl, digest, listed, path_of, sha256_of

FILES = {"Grüße – 写真 🎉.bin": content(3 << 20), "שלום עולם.txt": b"hello\n", "a b+c & d.jpg": content(123_456, seed=2),
         "empty": b""}
FORM = """<!doctype html><meta charset=utf-8><title>form</title>
<form method=post enctype=multipart/form-data action="%s">
<input id=one name=one type=file multiple><input id=two name=two type=file><textarea id=text name=comment></textarea>
<input id=word name="wörd"><button id=go>send</button></form>"""


def size_words(size):
    """How a page may tell a size to people: 123456, 123,456 or 120.6 KiB and their like."""
    words = {str(size), f"{size:,}", f"{size:,}".replace(",", " ")}
    for base, units in ((1024, ("KiB", "MiB")), (1000, ("kB", "MB"))):
        for power, unit in enumerate(units, 1):
            words |= {f"{size / base ** power:.{places}f} {unit}" for places in (0, 1, 2)}
    return words


class Form(webdriver.Case):
    def assert_page_lists(self, browser, server, names):
        """In the order they were chosen; every link gives the very bytes."""
        urls = browser.attributes("li a", "href")
        rows = browser.texts("li")
        self.assertEqual((len(urls), len(rows)), (len(names), len(names)))
        for url, row, name in zip(urls, rows, names):
            data = FILES[name]
            with self.subTest(name):
                self.assertIn(name, row)
                self.assertTrue(any(re.search(rf"(?<![\d.,]){re.escape(word)}(?!\d)", row)
                                    for word in size_words(len(data))), f"{len(data)} bytes are not told: {row}")
                self.assertTrue(sha256_of(data) in row or base64_of(digest("sha-256", data)) in row, row)
                self.assertEqual(curl(url).body, data)
        told = {entry["name"]: entry for entry in listed(server)}
        self.assertEqual([told[path_of(url)]["filename"] for url in urls], names)

    def test_the_servers_own_form(self):
        server, browser = self.start(javascript=False)
        browser.choose("#file", *(self.file(name, data) for name, data in FILES.items()))
        browser.click("#go")
        browser.wait_for("li a", len(FILES))
        self.assert_page_lists(browser, server, list(FILES))
        self.picture(browser, "form")

    def test_a_form_of_somebody_else(self):
        """Two file inputs, text in several scripts, and one input nobody used."""
        server, browser = self.start(javascript=False)
        page = FORM % html.escape(server.url + "/files/")
        with Site({"/": ("text/html; charset=utf-8", page.encode())}) as site:
            browser.open(site.origin + "/")
            names = list(FILES)[:3]
            browser.choose("#one", *(self.file(name, FILES[name]) for name in names))
            browser.type("#text", "Grüße, 日本\nline two")
            browser.type("#word", "<b>&amp;\"'")
            browser.click("#go")
            browser.wait_for("li a", len(names))
        self.assert_page_lists(browser, server, names)
        fields = {"comment": ["Grüße, 日本\r\nline two"], "wörd": ["<b>&amp;\"'"]}
        for entry in listed(server):
            self.assertEqual((entry["fields"], entry["type"].split("/")[0] != ""), (fields, True))

    def test_going_back_and_sending_again_makes_another_file(self):
        server, browser = self.start(javascript=False)
        for count in (1, 2):
            browser.open(server.url + "/")
            browser.choose("#file", self.file("a.txt", b"same"))
            browser.click("#go")
            browser.wait_for("li a")
            self.assertEqual(len(server.stored()), count)

    def test_reloading_the_page_sends_nothing_again(self):
        server, browser = self.start(javascript=False)
        browser.choose("#file", self.file("a.txt", b"once"))
        browser.click("#go")
        browser.wait_for("li a")
        browser.open(browser.url)
        browser.wait_for("li a")
        self.assertEqual(len(server.stored()), 1)


if __name__ == "__main__":
    unittest.main()
