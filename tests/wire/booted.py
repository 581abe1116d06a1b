"""A systemd of its own: PID 1 of new namespaces, over this machine's files, of which it changes nothing. It starts the
units that it is told to and the few targets they stand on, which do nothing; its network is a loopback."""

import contextlib
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile

import support

SECONDS = 60
SYSTEMD = next((path for path in ("/lib/systemd/systemd", "/usr/lib/systemd/systemd") if os.path.exists(path)), None)
TARGETS = ("basic", "sysinit", "shutdown", "sockets", "network-online", "umount")

# Mounts first, in a namespace whose mounts nobody else sees; the process then is in a control group of its own, so that
# the systemd finds itself at the top of those it sees. What it could change of this kernel is read-only.
PREPARE = r"""
set -e
mount -t tmpfs tmpfs "$1"; cd "$1"; mkdir up work root groups
mount -t overlay -o lowerdir=/,upperdir=up,workdir=work overlay root
mount -t cgroup2 cgroup2 groups; mkdir "groups/$2"; echo $$ > "groups/$2/cgroup.procs"
exec unshare --pid --fork --kill-child=SIGKILL --uts --ipc --net --cgroup sh -e -c '
    cd root
    mount -t proc proc proc; mount --bind proc/sys proc/sys; mount -o remount,bind,ro proc/sys
    mount -t sysfs -o ro sysfs sys; mount -t cgroup2 cgroup2 sys/fs/cgroup
    for folder in run tmp; do mount -t tmpfs tmpfs $folder; done
    mount -t tmpfs -o mode=755 tmpfs dev
    for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
    mkdir dev/pts dev/shm; ln -s /proc/self/fd dev/fd; ln -s pts/ptmx dev/ptmx; touch dev/kmsg
    mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
    cp -r "$1"/. .
    mkdir old; pivot_root . old; umount -l old
    echo prepared; eval "$3"
    exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH=/run/units:/lib/systemd/system \
        "$2" --unit=basic.target --log-target=kmsg --log-level=info --show-status=no
' sh "$3" "$4" "$5"
"""


LOG = "/run/sluice.log"
WITHOUT_JOURNAL = f"[Service]\nStandardOutput=append:{LOG}\nStandardError=append:{LOG}\n"


class Booted:
    """tree: what lies over this machine's files. before: a shell command that is run over them, before systemd. Raises
    Refused where this machine does not let it be. What sluice.service says is in LOG."""

    class Refused(Exception):
        pass

    def __init__(self, tree, before=":"):
        self.tree, self.before, self.process, self.pid = pathlib.Path(tree), before, None, None

    def __enter__(self):
        units = self.tree / "run/units"
        (units / "sluice.service.d").mkdir(parents=True)
        (units / "sluice.service.d/log.conf").write_text(WITHOUT_JOURNAL)
        for name in TARGETS:
            (units / f"{name}.target").write_text(f"[Unit]\nDescription={name}\nDefaultDependencies=no\n")
        self.folder = tempfile.mkdtemp(prefix="sluice-booted-")
        self.group = f"sluice-booted-{os.getpid()}"
        self.said = open(pathlib.Path(self.folder).with_suffix(".log"), "w+")
        try:
            return self.boot()
        except BaseException:
            self.__exit__()
            raise

    def boot(self):
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", PREPARE, "sh", self.folder, self.group,
             self.tree, SYSTEMD, self.before],
            stdin=subprocess.DEVNULL, stdout=self.said, stderr=self.said, start_new_session=True)
        try:
            support.wait_until(self.is_up, "systemd is up", SECONDS)
        except AssertionError as never:
            raise self.Refused(f"{never}: {self.log() if self.pid else ''}") from None
        return self

    def children(self):
        with contextlib.suppress(OSError):
            return pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return []

    def is_up(self):
        if self.process.poll() is not None:
            self.said.seek(0)
            said = self.said.read().strip()
            assert not said.startswith("prepared"), said
            raise self.Refused(said)
        children = self.children()
        if not children:
            return False
        self.pid = int(children[0])
        return self.run("systemctl", "is-active", "basic.target").stdout == "active\n"

    def __exit__(self, *_):
        if self.process is not None:
            self.process.kill()  # and PID 1 with it, and all that it started
            self.process.wait()
        self.said.close()
        os.unlink(self.said.name)
        self.remove_groups()
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_groups(self):
        """They stay when their processes have gone."""
        script = 'mount -t cgroup2 cgroup2 "$1" && find "$1/$2" -depth -type d -exec rmdir {} +'
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", self.folder, self.group]
        with contextlib.suppress(AssertionError):
            support.wait_until(lambda: subprocess.run(words, capture_output=True).returncode in (0, 32), "they go", 5)

    def systemctl(self, *words):
        return self.run("systemctl", *words)

    def well(self, *words):
        """systemctl, which must do it and say nothing but what was asked."""
        done = self.systemctl(*words)
        assert (done.returncode, done.stderr) == (0, ""), f"{words}: {done.stderr}{self.log()}"
        return done.stdout

    def shown(self, *names):
        told = dict(line.split("=", 1) for line in self.well("show", "sluice.service").splitlines() if "=" in line)
        return tuple(told[name] for name in names)

    def run(self, *words):
        """A command inside."""
        inside = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", "env", "-i", "LC_ALL=C.UTF-8",
                  "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        return subprocess.run([*inside, *map(str, words)], capture_output=True, text=True, timeout=SECONDS,
                              stdin=subprocess.DEVNULL)

    def curl(self, *words):
        """A curl inside whose output is the status."""
        return self.popen(*support.curl_command(), "-o", "/dev/null", "-w", "%{http_code}", *words)

    def curl_many(self, count, *words):
        """The same, one after the other; a blank behind each status, "failed" where there was no answer."""
        one = shlex.join([*support.curl_command(), "-o", "/dev/null", "-w", "%{http_code} ", *map(str, words)])
        return self.popen("sh", "-c", f"for at in $(seq {count}); do {one}-$at || echo failed; done")

    def popen(self, *words):
        """One of this machine's, whose network is that inside."""
        return subprocess.Popen(["nsenter", "-t", str(self.pid), "-n", *map(str, words)], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def log(self):
        """What systemd says, in place of the kernel's log."""
        return self.read("/dev/kmsg")

    def read(self, path):
        return pathlib.Path(f"/proc/{self.pid}/root/{path.lstrip('/')}").read_text()
