"""Each lint can fail: a small good tree passes, and each spoiled one is complained about where it is spoiled."""

import pathlib
import shutil
import tempfile
import unittest

import floors
import format as formatting
import headers
import lint
import style

GOOD = {
    "include/sluice/base/a.h": "#include <stddef.h>\nsize_t sl_a(void);\n",
    "include/sluice/disk/d.h": '#include "sluice/base/a.h"\n',
    "src/base/a.c": '#include "sluice/base/a.h"\n\n#include <stdio.h>\n',
    "src/disk/engine.h": "#include <liburing.h>\n",
    "src/disk/d.c": '#include "sluice/disk/d.h"\n\n#include "engine.h"\n',
    "src/main.c": '#include "sluice/disk/d.h"\n',
    "tests/t.py": "print('system(1)')\n",
    "run": "true\n",
}


class Tree(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sluice-lint-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        shutil.copy(lint.REPOSITORY / ".clang-format", self.root)
        for name, text in GOOD.items():
            self.write(name, text)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def check(self, rule, spoiled, expected):
        """spoiled: {name: text}; expected: how each finding begins."""
        self.assertEqual(list(rule(self.root)), [], "the good tree")
        for name, text in spoiled.items():
            self.write(name, text)
        findings = list(rule(self.root))
        self.assertEqual(len(findings), len(expected), findings)
        for finding, start in zip(findings, expected):
            self.assertTrue(finding.startswith(start), finding)


class Floors(Tree):
    def test_upward_and_sideways(self):
        self.check(floors.check_floors, {
            "src/base/up.c": '#include "sluice/disk/d.h"\n',
            "src/hash/side.c": '\n#include <sluice/disk/d.h>\n',
        }, ["src/base/up.c:1: base may not see disk", "src/hash/side.c:2: hash may not see disk"])

    def test_private_header_of_another_floor(self):
        self.check(floors.check_floors, {"src/hash/h.c": '#include "../disk/engine.h"\n'},
                   ["src/hash/h.c:1: a private header"])

    def test_libraries(self):
        libraries = ["liburing.h", "openssl/evp.h", "h2o.h", "h2o/http1.h", "yaml.h", "jansson.h"]
        self.check(floors.check_floors, {"src/decode/x.c": "".join(f"#include <{name}>\n" for name in libraries)},
                   [f"src/decode/x.c:{line}: decode may not see" for line in range(1, len(libraries) + 1)])

    def test_unknown_floor(self):
        self.check(floors.check_floors, {"src/util/x.c": "", "src/app/x.c": '#include "sluice/util/x.h"\n'},
                   ["src/app/x.c:1: there is no floor", "src/util/x.c:1: there is no floor"])


class Headers(Tree):
    def test_header_that_needs_another(self):
        compilers = [compiler for compiler in ("gcc", "clang") if shutil.which(compiler)]
        self.check(headers.check_alone, {"include/sluice/base/b.h": "size_t sl_b(void);\n"},
                   ["include/sluice/base/b.h:1: does not compile alone"] * len(compilers))

    def test_own_header_comes_late(self):
        self.check(headers.check_own_first, {
            "src/base/a.c": '#include <stdio.h>\n#include "sluice/base/a.h"\n',
            "src/disk/engine.c": '#include "sluice/disk/d.h"\n',
        }, ["src/base/a.c:1: includes stdio.h", "src/disk/engine.c:1: includes sluice/disk/d.h"])


class Style(Tree):
    def test_long_file(self):
        self.check(style.check_length, {"src/base/l.c": "\n" * 751}, ["src/base/l.c:751"])

    def test_wide_line(self):
        self.check(style.check_width, {"src/base/w.c": "\n//" + "w" * 119 + "\n"}, ["src/base/w.c:2: 121 columns"])

    def test_banned_calls(self):
        calls = "".join(f"    {name}(x);\n" for name in style.BANNED)
        fine = '/* strcpy(a) */ char *s = "gets(x)";\n snprintf(x); p->system(x); filesystem(x);\n'
        self.check(style.check_banned, {"src/base/b.c": fine + calls},
                   [f"src/base/b.c:{line}: {name} is banned" for line, name in enumerate(style.BANNED, 3)])

    def test_leftovers(self):
        self.check(style.check_leftovers, {"tests/l.c": 'mkstemp("XXXXXX");\n// TO' + 'DO later\nint a; \nint b;\t\n'},
                   [f"tests/l.c:{line}:" for line in (2, 3, 4)])

    def test_broken_scripts(self):
        self.check(style.check_python, {"tests/b.py": "x = 1\ndef (:\n"}, ["tests/b.py:2:"])
        self.check(style.check_shell, {"run": "if true; then\n"}, ["run:1:"])


@unittest.skipUnless(shutil.which("clang-format"), "clang-format is not installed")
class Format(Tree):
    def test_other_format(self):
        self.check(formatting.check_format, {"src/base/f.c": "int a;\nint  b;\n"}, ["src/base/f.c:2:"])


if __name__ == "__main__":
    unittest.main()
