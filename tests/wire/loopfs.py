"""A small file system in a file, of which a test may take away the power, the space or the right to write.

Needs root, mkfs.ext4, mkfs.xfs or mkfs.btrfs, and a loop device; faults.loop_fs() skips a test, with a word, where one
of them is missing.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time

SHUTDOWN = 0x8004587D  # XFS_IOC_GOINGDOWN, and EXT4_IOC_SHUTDOWN after it: _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2  # ..._NOLOGFLUSH: what is only in memory is lost, the journal too
XFS_LEAST_MIB = 300  # mkfs.xfs makes no smaller ones

TRIES = 100  # unmounting waits for the last descriptor of a process that is just dying


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True)


class LoopFs:
    """A context manager: made and mounted on entry, gone without a trace on exit."""

    def __init__(self, mib=64, inodes=None, kind="ext4"):
        self.mib, self.inodes, self.kind = mib, inodes, kind
        self.is_mounted = False

    def __enter__(self):
        self.home = tempfile.mkdtemp(prefix="sluice-loopfs-")
        self.image = os.path.join(self.home, "image")
        self.cut = os.path.join(self.home, "cut")
        self.path = os.path.join(self.home, "mount")
        try:
            os.mkdir(self.path)
            with open(self.image, "wb") as image:
                image.truncate(self.mib << 20)
            self.make()
            self.mount()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.is_mounted:
            self.unmount(is_last=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def make(self):
        if self.kind == "xfs":
            assert self.mib >= XFS_LEAST_MIB and self.inodes is None
            run("mkfs.xfs", "-q", self.image)
            return
        if self.kind == "btrfs":
            run("mkfs.btrfs", "-q", "-f", self.image)
            return
        inodes = [] if self.inodes is None else ["-N", str(self.inodes)]
        # -m 0: no blocks kept back for root, who would be the one to run out of space otherwise.
        run("mkfs.ext4", "-q", "-F", "-m", "0", *inodes, self.image)

    def mount(self):
        """Replays the journal, as after a power cut. Who made a copy of our mounts meanwhile, as containers do, holds
        the dead file system for as long, and mounting gives us that one back: then we try again."""
        for _ in range(TRIES):
            run("mount", "-t", self.kind, "-o", "loop", self.image, self.path)
            self.is_mounted = True
            try:
                os.rmdir(tempfile.mkdtemp(dir=self.path))
                return
            except OSError as error:
                reason = error
            self.unmount()
            time.sleep(0.05)
        raise OSError(f"the dead file system is held by somebody: {reason}")

    def unmount(self, is_last=False):
        for _ in range(TRIES):
            done = subprocess.run(["umount", self.path], capture_output=True, text=True)
            if done.returncode == 0:
                break
            time.sleep(0.05)
        else:
            if not is_last:
                raise OSError(done.stderr)
            run("umount", "--lazy", self.path)
        self.is_mounted = False
        if os.path.exists(self.cut):
            os.replace(self.cut, self.image)

    def commit_journal(self):
        """Names that were made are on the disk now; bytes that nobody synced may not be."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.mkdir("commit", dir_fd=fd)
            os.rmdir("commit", dir_fd=fd)
            os.fsync(fd)
        finally:
            os.close(fd)

    def cut_power(self):
        """From now on nothing reaches the disk, and every operation fails. btrfs has no such thing: what its disk has
        now is kept, and is what will be mounted; nobody may be writing."""
        if self.kind == "btrfs":
            self.wait_for_the_disk()
            run("cp", "--sparse=always", self.image, self.cut)
            return
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def wait_for_the_disk(self):
        """What is on the way to it arrives."""
        quiet, seen = 0, None
        while quiet < 10:
            now = os.stat(self.image).st_mtime_ns
            quiet, seen = (quiet + 1 if now == seen else 0), now
            time.sleep(0.02)

    def remount(self, option):
        """option: "ro" or "rw". Read-only takes a moment in which nobody has a file open for writing."""
        for _ in range(TRIES):
            done = subprocess.run(["mount", "-o", f"remount,{option}", self.path], capture_output=True, text=True)
            if done.returncode == 0:
                return
            time.sleep(0.05)
        raise OSError(done.stderr)

    def free_bytes(self):
        fs = os.statvfs(self.path)
        return fs.f_bavail * fs.f_frsize

    def free_inodes(self):
        return os.statvfs(self.path).f_favail
