"""What is installed, and what the package of Debian brings: the tree, the units, the manual pages, the completions. All
of it is made from the tree that was built; nothing of it is put on this machine."""

import functools
import os
import pathlib
import pty
import re
import select
import shutil
import stat
import subprocess
import tempfile
import unittest

import support
from installed import SECONDS, demand_product, install, pack, run, well
from support import Sluice, curl, run_program

EXPOSURE_MAX = 15  # in tenths, as systemd-analyze counts

TREE = {
    "usr/bin/sluice": 0o755,
    "usr/share/man/man1/sluice.1": 0o644,
    "usr/share/man/man5/sluice.yaml.5": 0o644,
    "usr/share/bash-completion/completions/sluice": 0o644,
    "usr/share/zsh/vendor-completions/_sluice": 0o644,
    "usr/share/fish/vendor_completions.d/sluice.fish": 0o644,
    "usr/share/doc/sluice/README.md": 0o644,
    "usr/share/doc/sluice/LICENSE": 0o644,
    "usr/share/doc/sluice/examples/sluice.yaml": 0o644,
    "usr/lib/sysusers.d/sluice.conf": 0o644,
    "lib/systemd/system/sluice.service": 0o644,
    "lib/systemd/system/sluice.socket": 0o644,
    "lib/systemd/system/sluice-tls.socket": 0o644,
    "etc/sluice/sluice.yaml": 0o644,
}
DOC = "usr/share/doc/sluice"
# As Debian has them: compressed, and the license in its own words.
PACKED = {"usr/share/man/man1/sluice.1", "usr/share/man/man5/sluice.yaml.5", f"{DOC}/LICENSE"}
TREE_OF_PACKAGE = {**{name: mode for name, mode in TREE.items() if name not in PACKED},
                   "usr/share/man/man1/sluice.1.gz": 0o644, "usr/share/man/man5/sluice.yaml.5.gz": 0o644,
                   f"{DOC}/copyright": 0o644, f"{DOC}/changelog.gz": 0o644}
# There is no script for init systems that are not systemd. It is of no use to hide that.
LINTIAN_KNOWN = {"package-supports-alternative-init-but-no-init.d-script"}


def tree_of(folder):
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
            for path in folder.rglob("*") if not path.is_dir()}


@functools.cache
def options():
    """{name: its default, or ""} of --help, those that every program has left out."""
    found = {}
    for piece in re.split(r"(?m)^  (?=--)", run_program("--help").stdout.split("\nEach option")[0])[1:]:
        words = " ".join(piece.split())
        default = re.search(r" \(([^ ()]+)\)$", words)
        found[words.split()[0][2:]] = default[1] if default else ""
    assert {"listen", "root", "log-format"} <= set(found), found
    return found


def own_folder(case):
    return pathlib.Path(case.enterContext(tempfile.TemporaryDirectory(prefix="sluice-package-")))


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        demand_product()
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="sluice-package-")))
        install("/usr", cls.folder)
        cls.share = cls.folder / "usr/share"


class Tree(Installed):
    def test_it_is_the_product_and_nothing_else(self):
        self.assertEqual(tree_of(self.folder), TREE)

    def test_another_prefix_is_where_all_of_it_points_to(self):
        folder = own_folder(self)
        install("/opt/sluice", folder)
        prefix = folder / "opt/sluice"
        self.assertEqual({path.name for path in folder.iterdir()}, {"opt"})
        names = {name.removeprefix("usr/").replace("vendor-completions", "site-functions") for name in TREE}
        self.assertEqual(set(tree_of(prefix)), names)
        self.assertIn("\nExecStart=/opt/sluice/bin/sluice serve -c /opt/sluice/etc/sluice/sluice.yaml\n",
                      (prefix / "lib/systemd/system/sluice.service").read_text())

    def test_a_configuration_that_is_there_stays(self):
        folder = own_folder(self)
        install("/usr", folder)
        (folder / "etc/sluice/sluice.yaml").write_text("root: /mine\n")
        install("/usr", folder)
        self.assertEqual((folder / "etc/sluice/sluice.yaml").read_text(), "root: /mine\n")

    def test_its_configuration_says_where_the_root_is_and_no_more(self):
        path = self.folder / "etc/sluice/sluice.yaml"
        said = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        self.assertEqual(said, ["root: /var/lib/sluice"])
        with Sluice("-c", path, binary=self.folder / "usr/bin/sluice") as server:
            self.assertEqual(curl("-T", __file__, f"{server.url}/a").status, 201)
        self.assertIn("WorkingDirectory=/var/lib/sluice\n",
                      (self.folder / "lib/systemd/system/sluice.service").read_text())


@unittest.skipUnless(shutil.which("systemd-analyze"), "takes systemd-analyze")
class Units(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        demand_product()
        # Where they are, for what they name must be there.
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="sluice-package-")))
        install(cls.folder, "")
        cls.service = cls.folder / "lib/systemd/system/sluice.service"
        cls.sockets = [cls.service.with_name(name) for name in ("sluice.socket", "sluice-tls.socket")]

    def verify(self, *units):
        done = run("systemd-analyze", "verify", *units, environment={"MANPATH": str(self.folder / "share/man")})
        return done.returncode, done.stdout + done.stderr

    def test_systemd_finds_nothing_wrong(self):
        self.assertEqual(self.verify(self.service, *self.sockets), (0, ""))

    def test_it_would_find_what_is_wrong(self):
        broken = own_folder(self) / "sluice.service"
        broken.write_text(self.service.read_text().replace("KillMode=mixed", "KillModes=mixed"))
        self.assertIn("KillModes", self.verify(broken)[1])

    def exposure(self, unit):
        done = run("systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_MAX}", unit)
        return done.returncode, re.findall(r"exposure level for sluice.service: ([\d.]+)", done.stdout)

    def test_what_a_break_in_would_reach_is_little(self):
        code, told = self.exposure(self.service)
        self.assertEqual((code, len(told)), (0, 1), told)
        open_wide = own_folder(self) / "sluice.service"
        open_wide.write_text(self.service.read_text().replace("\nSystemCallFilter=", "\n#"))
        self.assertNotEqual(self.exposure(open_wide)[0], 0)

    def test_it_is_not_killed_while_it_drains(self):
        said = dict(line.split("=", 1) for line in self.service.read_text().splitlines() if re.match(r"\w+=", line))
        drains = int(options()["shutdown-timeout"]) + 10  # and what was cut off is given back: ABORT_MS of main.c
        self.assertGreater(int(said["TimeoutStopSec"].removesuffix("s")), drains)
        self.assertEqual((said["Type"], said["StateDirectory"]), ("notify", "sluice"))

    def test_the_user_is_the_same_wherever_it_is_made(self):
        self.assertIn("\nUser=sluice\n", self.service.read_text())
        sysusers = (self.folder / "lib/sysusers.d/sluice.conf").read_text()
        self.assertRegex(sysusers, r"(?m)^u sluice - .* /var/lib/sluice$")
        postinst = (support.REPOSITORY / "config/debian/postinst").read_text()
        self.assertRegex(postinst, r"(?m)^ *adduser --system .*--home /var/lib/sluice .* sluice$")


@unittest.skipUnless(shutil.which("man"), "takes man")
class Manual(Installed):
    def rendered(self, page):
        done = well("man", "--warnings=w", "-l", page, environment={"MANWIDTH": "200", "MAN_KEEP_FORMATTING": ""})
        self.assertEqual(done.stderr, "")
        return done.stdout

    def test_each_option_is_told_with_its_variable_and_its_default(self):
        text = self.rendered(self.share / "man/man1/sluice.1")
        for name, default in options().items():
            with self.subTest(name):
                told = re.search(rf"(?ms)^ +--{name} .*?(?=\n\n)", text)[0]
                self.assertIn("SLUICE_" + name.replace("-", "_").upper(), told)
                if default:
                    self.assertIn(f"by default {default}.", told)
        for word in ("--json", "--quick", "--config", "SIGHUP", "EXIT STATUS", "LISTEN_FDS", "doctor", "health"):
            self.assertIn(word, text)

    def test_each_key_is_told_with_what_it_means(self):
        text = self.rendered(self.share / "man/man5/sluice.yaml.5")
        for name, default in options().items():
            with self.subTest(name):
                told = re.search(rf"(?ms)^ +{name}: .*?(?=\n\n|\Z)", text)[0]
                self.assertIn(f"Option --{name}, environment SLUICE_", told)
                self.assertGreater(told.index("Option --"), 60, "it has prose")
                if default:
                    self.assertIn(f"by default {default}.", told)

    def test_a_page_that_is_wrong_would_be_told(self):
        bad = own_folder(self) / "bad.1"
        bad.write_text((self.share / "man/man1/sluice.1").read_text() + ".XY\n")
        self.assertIn("XY", well("man", "--warnings=w", "-l", bad).stderr)


class Shell:
    """One that somebody types into: a terminal, and `sluice` a function that tells what came of the line."""

    tells = """sluice() { printf '<told'; printf '<%s>' "$@"; echo 'told>'; }"""

    def __init__(self, command, setting, folder):
        self.command, self.setting, self.folder, self.seen = command, setting, folder, ""

    def __enter__(self):
        master, slave = pty.openpty()
        environment = {**support.clean_environment(), "TERM": "dumb", "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}
        self.process = subprocess.Popen(self.command, stdin=slave, stdout=slave, stderr=slave, env=environment,
                                        start_new_session=True, cwd=self.folder)
        os.close(slave)
        self.terminal = open(master, "r+b", buffering=0)
        # The terminal shows what is typed, so the word is not typed as it is waited for.
        self.terminal.write(f"{self.tells}; {self.setting}; echo 'set''tled'\n".encode())
        self.until("settled\r?\n")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.terminal.close()

    def until(self, pattern):
        while not (match := re.search(pattern, self.seen)):
            ready, _, _ = select.select([self.terminal], [], [], SECONDS)
            assert ready, f"no {pattern!r} in {self.seen!r}"
            self.seen += self.terminal.read(4096).decode("utf-8", "replace")
        self.seen = self.seen[match.end():]
        return match

    def type(self, line):
        """What the words are that sluice was given; `--a=b` is `--a b`, as zsh writes it."""
        self.terminal.write(line.encode() + b"\n")
        words = re.findall("<(.*?)>", self.until("<told(.*?)told>")[1])
        return [part for word in words for part in word.split("=")]


LINES = {
    "sluice --durab\tfull": ["--durability", "full"],
    "sluice --durability d\t": ["--durability", "data"],
    "sluice --digest sha-2\t": ["--digest", "sha-256"],
    "sluice doct\t--qu\t": ["doctor", "--quick"],
    "sluice uploads --js\t": ["uploads", "--json"],
    "sluice --config some\t": ["--config", "some.yaml"],
    "sluice --root fol\tx": ["--root", "folder/x"],
    "sluice --us\tro\t": ["--user", "root"],
    "sluice serve --max-size 1 --eng\tthr\t": ["serve", "--max-size", "1", "--engine", "threads"],
}


class Completions(Installed):
    """Typed into the shells themselves; a tab is a tab."""

    def setUp(self):
        self.home = own_folder(self)
        (self.home / "some.yaml").touch()
        (self.home / "folder").mkdir()

    def assert_completes(self, command, setting, lines):
        with Shell(command, setting, self.home) as shell:
            for line, words in lines.items():
                with self.subTest(line):
                    self.assertEqual(shell.type(line), words)

    def test_each_shell_knows_each_option(self):
        for name in ("bash-completion/completions/sluice", "zsh/vendor-completions/_sluice",
                     "fish/vendor_completions.d/sluice.fish"):
            text = (self.share / name).read_text()
            for option in [*options(), "config", "help", "version", "json", "quick"]:
                with self.subTest(name, option=option):
                    self.assertRegex(text, rf"(?m)(--|-l ){option}\b(?!-)")

    def test_bash(self):
        source = f"source {self.share}/bash-completion/completions/sluice"
        self.assert_completes(["bash", "--norc", "--noprofile", "-i"], source,
                              {**LINES, "sluice --engine=thr\t": ["--engine", "threads"]})

    @unittest.skipUnless(shutil.which("zsh"), "takes zsh")
    def test_zsh(self):
        setting = f"fpath=({self.share}/zsh/vendor-completions $fpath); autoload -U compinit; compinit -D -u"
        self.assert_completes(["zsh", "-f", "-i"], setting, LINES)

    @unittest.skipUnless(shutil.which("fish"), "takes fish")
    def test_fish(self):
        source = self.share / "fish/vendor_completions.d/sluice.fish"
        for line, words in {"sluice --durab": {"--durability"}, "sluice --durability ": {"full", "data", "none"},
                            "sluice doctor --qu": {"--quick"}, "sluice --qu": set(), "sluice health --roo": set(),
                            "sluice ": {"serve", "uploads", "doctor", "health"}, "sluice --root fol": {"folder/"},
                            "sluice --config so": {"some.yaml"}}.items():
            with self.subTest(line):
                done = well("fish", "--no-config", "-c", f'source {source}; complete -C "{line}"', cwd=self.home,
                            environment={"HOME": str(self.home)})
                self.assertEqual({told.split("\t")[0] for told in done.stdout.splitlines()}, words)


@unittest.skipUnless(shutil.which("dpkg-shlibdeps") and shutil.which("file"), "takes dpkg-dev and file")
class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        demand_product()
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="sluice-package-")))
        cls.deb = pack(cls.folder)

    def field(self, name):
        return well("dpkg-deb", "-f", self.deb, name).stdout.strip()

    def test_it_is_what_it_says(self):
        version = run_program("--version").stdout.split()[1]
        self.assertEqual((self.field("Package"), self.field("Version")), ("sluice", version))
        self.assertEqual(self.deb.name, f"sluice_{version}_{self.field('Architecture')}.deb")
        depends = {word.split()[0] for word in self.field("Depends").split(",")}
        self.assertLessEqual({"adduser", "libc6", "libssl3", "liburing2", "libh2o-evloop0.13"}, depends)

    def test_it_brings_the_product_for_everybody_to_read_and_it_runs(self):
        tree = own_folder(self)
        well("dpkg-deb", "-x", self.deb, tree)
        self.assertEqual(tree_of(tree), TREE_OF_PACKAGE)
        self.assertEqual({stat.S_IMODE(path.stat().st_mode) for path in tree.rglob("*") if path.is_dir()}, {0o755})
        self.assertIn("\nExecStart=/usr/bin/sluice serve -c /etc/sluice/sluice.yaml\n",
                      (tree / "lib/systemd/system/sluice.service").read_text())
        with Sluice(binary=tree / "usr/bin/sluice") as server:
            self.assertEqual(curl("-T", __file__, f"{server.url}/a").status, 201)
            self.assertEqual(server.path("a").read_bytes(), pathlib.Path(__file__).read_bytes())

    def test_its_scripts_are_shell_and_its_configuration_is_the_administrators(self):
        control = own_folder(self)
        well("dpkg-deb", "-e", self.deb, control)
        self.assertEqual((control / "conffiles").read_text(), "/etc/sluice/sluice.yaml\n")
        for script in ("postinst", "prerm", "postrm"):
            self.assertEqual(stat.S_IMODE((control / script).stat().st_mode), 0o755)
            well("sh", "-n", control / script)
            self.assertNotRegex((control / script).read_text(), r"\b(enable|start)\b", "nothing starts by itself")

    @unittest.skipUnless(shutil.which("lintian"), "takes lintian")
    def test_lintian_has_nothing_to_say(self):
        done = run("lintian", "--display-info", "--pedantic", "--allow-root", self.deb)
        told = [line for line in done.stdout.splitlines() if line.split()[2] not in LINTIAN_KNOWN]
        self.assertEqual((done.returncode, told, done.stderr), (0, [], ""))


if __name__ == "__main__":
    unittest.main()
