"""Once it has started, the program is confined, and says so. What that means is for tests/unit/app/test_confine.c; that
all else goes on as before, for every other test here."""

import pathlib
import tempfile
import unittest

import support
from support import Sluice, curl


def may_gain_privileges(pid):
    """Of each thread."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return ["NoNewPrivs:\t1" not in (task / "status").read_text() for task in tasks]


@unittest.skipIf(support.sanitizer(), "sanitizers read /proc")
class Confined(unittest.TestCase):
    def test_it_is_and_says_so(self):
        with Sluice() as server:
            self.assertRegex(server.said("confined"), r"\A(by Landlock to what is served|no: this kernel )")
            self.assertEqual(set(may_gain_privileges(server.pid)), {False})

    def test_it_is_not_where_it_is_told_so(self):
        with Sluice(confine="off") as server:
            self.assertEqual(server.said("confined"), "no: as configured")
            self.assertEqual(set(may_gain_privileges(server.pid)), {False})

    def test_sockets_of_several_folders_are_removed_in_the_end(self):
        with tempfile.TemporaryDirectory(prefix="sluice-a-") as a, tempfile.TemporaryDirectory(prefix="sluice-b-") as b:
            paths = [pathlib.Path(folder, "socket") for folder in (a, b)]
            with Sluice(listen=[f"unix:{path}" for path in paths]) as server:
                self.assertEqual([path.is_socket() for path in paths], [True, True])
                self.assertTrue(server.is_running())
            self.assertEqual([path.exists() for path in paths], [False, False])

    def test_a_root_behind_a_symbolic_link(self):
        with tempfile.TemporaryDirectory(prefix="sluice-link-") as folder:
            real, link = pathlib.Path(folder, "real"), pathlib.Path(folder, "link")
            real.mkdir()
            link.symlink_to(real)
            with Sluice(root=link, listen="127.0.0.1:0") as server:
                self.assertEqual(curl("-T", __file__, server.url + "/files/a").status, 201)
                self.assertEqual((real / "files/a").read_bytes(), pathlib.Path(__file__).read_bytes())


if __name__ == "__main__":
    unittest.main()
