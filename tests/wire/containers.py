"""Images and containers by podman and runc, without a registry and without anything of the machine's own being touched.

The base image is made by Debian's own tools (mmdebstrap): what is in it differs a little from debian:bookworm-slim as
it is published, by what that leaves out. Where something that is not ours is missing or fails, all of it is skipped
with a word: root, the programs, a runtime that may start containers, a mirror that answers.

Some machines of tests are containers themselves. What is peculiar there, and not to users: cgroups in hybrid mode (so
runc, not crun), limits that root may not raise, no systemd for timers of health checks."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest
import uuid

import support

BASE = "docker.io/library/debian:bookworm-slim"
IMAGE = "localhost/sluice:test"
DEFAULT_PROFILE = pathlib.Path("/usr/share/containers/seccomp.json")
NETWORK_FAILS = re.compile(r"Failed to fetch|Unable to fetch|Temporary failure|Could not (?:resolve|connect)|"
                           r"Unable to connect")
CONFIGURATION = """[containers]
netns = "host"
log_driver = "k8s-file"
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
HARDENED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")
START_SECONDS = 60
BUILD_SECONDS = 1200


def complaint(text):
    """The first one of apt, or what was said last."""
    lines = text.strip().splitlines() or ["it said nothing"]
    return next((line for line in lines if line.startswith("E: ")), lines[-1])


def mirror():
    """Where this machine has its own packages from."""
    if os.environ.get("DEBIAN_MIRROR"):
        return os.environ["DEBIAN_MIRROR"]
    told = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Codename: bookworm",
                           "Component: main", "Created-By: Packages"], capture_output=True, text=True)
    return (told.stdout.split() or ["http://deb.debian.org/debian"])[0]


class Podman:
    """A storage of its own, which goes when it is closed, and in it the image, built once."""

    def __init__(self):
        missing = [name for name in ("podman", "runc", "mmdebstrap", "nsenter") if not shutil.which(name)]
        if os.geteuid() != 0 or missing:
            raise unittest.SkipTest("takes root" if os.geteuid() != 0 else f"there is no {', '.join(missing)}")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-podman-"))
        (self.folder / "containers.conf").write_text(CONFIGURATION)
        self.environment = {**os.environ, "CONTAINERS_CONF": str(self.folder / "containers.conf")}

    def close(self):
        self.call("system", "reset", "--force", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *words):
        return ["podman", "--root", self.folder / "graph", "--runroot", self.folder / "run", "--runtime", "runc",
                *map(str, words)]

    def call(self, *words, check=True, seconds=START_SECONDS):
        done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=seconds,
                              env=self.environment, stdin=subprocess.DEVNULL, cwd=support.REPOSITORY)
        assert not check or done.returncode == 0, f"podman {words}: {done.returncode} {done.stdout} {done.stderr}"
        return done

    def make_base(self):
        tar = self.folder / "base.tar"
        keep_out = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "locale", "doc")]
        made = subprocess.run(["mmdebstrap", "--variant=minbase", "--dpkgopt=force-unsafe-io", *keep_out,
                               "bookworm", tar, mirror()], capture_output=True, text=True, timeout=BUILD_SECONDS)
        if made.returncode != 0:
            raise unittest.SkipTest(f"mmdebstrap makes no base image of {mirror()}: {complaint(made.stderr)}")
        for words in (["import", "--quiet", tar, BASE],
                      ["run", "--rm", "--pull=never", "--network=none", BASE, "true"]):
            done = self.call(*words, check=False, seconds=BUILD_SECONDS)
            if done.returncode != 0:
                raise unittest.SkipTest(f"podman {words[0]} does not work here: {complaint(done.stderr)}")
        tar.unlink()

    def build(self):
        """As README.md says, but for where the base image comes from."""
        built = self.call("build", "--pull=never", "--network=host", "--jobs=2", "--format", "docker", "-f",
                          "docker/Dockerfile", "-t", IMAGE, ".", check=False, seconds=BUILD_SECONDS)
        if built.returncode != 0 and NETWORK_FAILS.search(built.stdout + built.stderr):
            raise unittest.SkipTest(f"no packages for the image: {complaint(built.stderr + built.stdout)}")
        assert built.returncode == 0, f"{built.stdout[-4000:]} {built.stderr[-4000:]}"

    def inspect(self, name, kind="image"):
        return json.loads(self.call(kind, "inspect", name).stdout)[0]


class Container:
    """A running one, in a network that nobody else has: it listens where the image says. Options are those of
    `podman run`, beside those that harden it."""

    def __init__(self, podman, *options, profile=None, health=False):
        self.podman = podman
        seccomp = [f"--security-opt=seccomp={profile}"] if profile else []
        checks = [] if health else ["--no-healthcheck"]
        self.log = podman.folder / f"{uuid.uuid4()}.log"  # read where it lies: each call of podman takes a while
        self.id = podman.call("create", "--pull=never", "--network=none", f"--log-opt=path={self.log}", *HARDENED,
                              *seccomp, *checks, *options, IMAGE).stdout.strip()

    def __enter__(self):
        """Starts it, and waits until it says how it serves, or has ended."""
        try:
            self.podman.call("start", self.id)
            self.pid = self.state["Pid"]
            support.wait_until(lambda: "\n  try " in self.logs() or self.has_ended(), "it starts or ends",
                               START_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.podman.call("rm", "--force", "--volumes", "--time=0", self.id)

    @property
    def state(self):
        """As podman tells it."""
        return self.podman.inspect(self.id, "container")["State"]

    def logs(self):
        """What it said, standard output and error in one, as they came."""
        text = self.log.read_text(errors="backslashreplace") if self.log.exists() else ""
        return "".join(line.split(" ", 3)[3] + "\n" for line in text.split("\n")[:-1])  # TIME STREAM F TEXT

    def has_ended(self):
        return self.state["Status"] in ("exited", "stopped")

    def said(self, word):
        """The rest of the start block's line that begins with `word`."""
        return next(line.split(maxsplit=1)[1] for line in self.logs().splitlines() if line.split()[:1] == [word])

    def run(self, *words, check=True):
        return self.podman.call("exec", self.id, *words, check=check)

    def curl_command(self, *words):
        """In the container's network, but a program of ours: the image has none."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *support.curl_command(), "-m", "60",
                *map(str, words)]

    def curl(self, *words):
        done = subprocess.run(self.curl_command(*words), capture_output=True, timeout=90)
        assert done.returncode == 0, (done, self.logs())
        return done.stdout

    def stop(self):
        """As an operator would; the exit code."""
        self.podman.call("stop", "--time=30", self.id)
        return self.state["ExitCode"]
