"""The packages of a package-lock.json, installed once below build/npm by npm itself, which checks their digests. Also
for loadtest/, which is no test: nothing of support.py is needed."""

import functools
import hashlib
import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CLIENTS = HERE / "npm"
HOME = HERE.parents[1] / "build/npm"
SECONDS = 120


class Missing(Exception):
    """They cannot be had; the text says why."""


@functools.cache
def modules(locked=CLIENTS):
    """The folder node_modules, as the lock file in `locked` has it: one that is there already needs neither npm nor a
    network."""
    lock = (locked / "package-lock.json").read_bytes()
    installed = HOME / hashlib.sha256(lock).hexdigest()[:16]
    if not installed.exists():
        install(locked, installed)
    return installed / "node_modules"


def install(locked, target):
    """Beside its place, and moved there whole: two tests may do this at the same time."""
    if shutil.which("npm") is None:
        raise Missing("npm is not installed")
    HOME.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME, prefix="new-") as folder:
        fresh = pathlib.Path(folder, "all")
        shutil.copytree(locked, fresh)
        try:
            done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline",
                                   "--fetch-retries=1"], cwd=fresh, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Missing(f"npm did not get the packages within {SECONDS} s") from error
        if done.returncode != 0:
            if "EINTEGRITY" in done.stderr:
                raise AssertionError(done.stderr)
            raise Missing(f"npm did not get the packages: {done.stderr.strip()[-300:]}")
        try:
            fresh.rename(target)
        except OSError:  # another test was first
            assert target.exists()
