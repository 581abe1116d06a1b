"""The tree that was built, installed or packed elsewhere than on this machine."""

import pathlib
import subprocess
import unittest

import support

BUILD = pathlib.Path(support.BINARY).resolve().parent
SECONDS = 120


def run(*words, **named):
    environment = {**support.clean_environment(), "LC_ALL": "C.UTF-8", **named.pop("environment", {})}
    if "input" not in named:
        named["stdin"] = subprocess.DEVNULL
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=SECONDS,
                          env=environment, **named)


def well(*words, **named):
    done = run(*words, **named)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done


def demand_product():
    if support.sanitizer():
        raise unittest.SkipTest("a build to be tested with is nothing to be installed")


def install(prefix, destination):
    well("cmake", "--install", BUILD, "--prefix", prefix, environment={"DESTDIR": str(destination)})


def pack(folder):
    """The path of the package. A umask would be seen in it, if it were taken over."""
    well("cpack", "-G", "DEB", "--config", BUILD / "CPackConfig.cmake", "-B", folder, cwd=BUILD, umask=0o077)
    deb, = folder.glob("*.deb")
    return deb
