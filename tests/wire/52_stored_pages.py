"""What strangers stored may be a page with a script. A browser saves it, or shows it and runs nothing."""

import unittest

import webdriver
from support import Site, Sluice, raw, wait_until

SCRIPT = "new Image().src = '%s/hit';"
HTML = "<!doctype html><body><p>page<script>%s</script>"
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>%s</script></svg>'
XHTML = '<html xmlns="http://www.w3.org/1999/xhtml"><body><script>%s</script></body></html>'

# name, type or None, content: what a browser could run as a page.
ACTIVE = [("a.html", None, HTML), ("b", "text/html", HTML), ("c.png", "text/html; charset=utf-8", HTML),
          ("d", "TEXT/HTML", HTML), ("e.svg", None, SVG), ("f", "image/svg+xml", SVG), ("g.xml", None, XHTML),
          ("h", "application/xhtml+xml", XHTML), ("i", "text/xml", XHTML), ("j", "application/xml", XHTML),
          ("k.pdf", None, "%%PDF-1.4 %s"), ("l", "application/pdf", "%%PDF-1.4 %s"), ("m.htm", None, HTML),
          ("n", "multipart/x-mixed-replace; boundary=b", "--b\r\nContent-Type: text/html\r\n\r\n" + HTML),
          ("o.js", None, "%s"), ("p", "text/javascript", "%s"), ("q.xhtml", None, XHTML), ("r.mht", None, HTML),
          ("s", "text/xsl", XHTML), ("t", "application/x-unheard-of", HTML), ("u", None, HTML), ("v", "*/*", HTML),
          ("w", "application/rss+xml", XHTML), ("x.svgz", None, SVG), ("y", "image/svg+xml;charset=x", SVG)]
# What runs no script, and may be shown.
INERT = [("a.txt", None), ("b.png", None), ("c.jpg", None), ("d.gif", None), ("e.webp", None), ("f.mp4", None),
         ("g.mp3", None), ("h.json", None), ("i", "text/plain; charset=utf-8"), ("j", "image/png")]


class Downloads(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Sluice(durability="none"))
        cls.site = cls.enterClassContext(Site({}))
        script = SCRIPT % cls.site.origin
        with raw(cls.server) as client:
            for name, kind, text in ACTIVE:
                cls.put(client, f"active/{name}", kind, (text % script).encode())
            for name, kind in INERT:
                cls.put(client, f"inert/{name}", kind, (HTML % script).encode())

    @staticmethod
    def put(client, path, kind, data, *lines):
        kinds = [] if kind is None else [f"Content-Type: {kind}"]
        answer = client.request("PUT", "/" + path, data, [*kinds, *lines])
        assert answer.status == 201, (path, answer)

    def assert_fenced(self, headers):
        self.assertEqual(headers["x-content-type-options"], "nosniff")
        self.assertEqual(headers["content-security-policy"].split(";")[0], "sandbox")
        self.assertIn("default-src 'none'", headers["content-security-policy"])
        self.assertNotIn("allow-scripts", headers["content-security-policy"])

    def test_what_could_run_is_for_saving(self):
        with raw(self.server) as client:
            for name, _, _ in ACTIVE:
                for method, lines in (("GET", []), ("HEAD", []), ("GET", ["Range: bytes=0-3"])):
                    with self.subTest(name, method=method, lines=lines):
                        headers = client.request(method, f"/files/active/{name}", headers=lines).headers
                        self.assertRegex(headers["content-disposition"], rf"\Aattachment; filename=\"?{name}\"?\Z")
                        self.assert_fenced(headers)

    def test_what_cannot_is_shown_unless_the_sender_wants_it_saved(self):
        with raw(self.server) as client:
            for name, kind in INERT:
                with self.subTest(name):
                    headers = client.request("GET", f"/files/inert/{name}").headers
                    self.assertRegex(headers["content-disposition"], r"\Ainline\b")
                    self.assertNotEqual(headers["content-type"], "application/octet-stream")
                    self.assert_fenced(headers)
                    self.put(client, f"saved/{name}", kind, b"x", "Content-Disposition: attachment; filename=other")
                    saved = client.request("GET", f"/files/saved/{name}").headers["content-disposition"]
                    self.assertRegex(saved, r"\Aattachment; filename=\"?other\"?\Z")

    @unittest.skipUnless(webdriver.is_there(), "chromium or chromium-driver is not installed")
    def test_chromium_runs_nothing_of_it(self):
        """A page of ours is asked for behind all others: had one of them run, its request would be among those seen."""
        urls = [f"{self.server.url}/files/{path}" for path in self.server.stored() if not path.startswith("saved/")]
        frames = "".join(f'<iframe src="{url}"></iframe><object data="{url}"></object><embed src="{url}">'
                         for url in urls)
        ours = (HTML % (SCRIPT % self.site.origin)).replace("/hit", "/ours") + frames
        self.site.pages["/frames"] = ("text/html", ours.encode())
        self.site.pages["/last"] = ("text/html", ours.replace("/ours", "/at-last").encode())
        with webdriver.Browser() as browser:
            for url in urls:
                browser.open(url)
            browser.open(self.site.origin + "/frames")  # returns when all frames are loaded, or refused
            wait_until(lambda: "/ours" in self.site.asked, "the same script in an ordinary page")
            browser.open(self.site.origin + "/last")
            wait_until(lambda: "/at-last" in self.site.asked, "the last page's script")
        self.assertNotIn("/hit", self.site.asked)


if __name__ == "__main__":
    unittest.main()
