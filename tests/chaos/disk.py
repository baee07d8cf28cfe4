# SPDX-License-Identifier: ISC
"""The disk of the worker's state directory: a small one of its own, where that
may be mounted, which is filled up and freed."""
import ctypes
import os
import shutil
import stat
import time

SIZE = "64m"
CLONE_NEWNS = 0x00020000
MS_REC, MS_PRIVATE, MNT_DETACH = 0x4000, 0x40000, 2
LIBC = ctypes.CDLL(None)


def now_us():
    return int(time.monotonic() * 1e6)


def sockets(directory, names):
    """Those of the names that cannot be copied: a worker that was killed leaves
    its own."""
    return [n for n in names if stat.S_ISSOCK(
        os.lstat(os.path.join(directory, n)).st_mode)]


class Disk:
    def __init__(self, path):
        """Mounts it there, to be seen by us and by what we start."""
        self.path = path
        self.filler = os.path.join(path, "filler")
        self.full_since = None
        self.times = []  # (from, to) in us: it was full
        root, kind = b"/", b"tmpfs"
        self.mounted = LIBC.unshare(CLONE_NEWNS) == 0 and \
            LIBC.mount(None, root, None, MS_REC | MS_PRIVATE, None) == 0 and \
            LIBC.mount(kind, path.encode(), kind, 0,
                       f"size={SIZE},mode=700".encode()) == 0

    def fill(self):
        """To the last byte."""
        self.full_since = self.full_since or now_us()
        with open(self.filler, "ab", buffering=0) as f:
            for size in (1 << 20, 1 << 12):
                try:
                    while True:
                        f.write(bytes(size))
                except OSError:
                    continue

    def free(self):
        if self.full_since is not None:
            os.unlink(self.filler)
            self.times.append((self.full_since, now_us()))
            self.full_since = None

    def was_full(self, within_us):
        """Now, or not longer ago than that."""
        return self.full_since is not None or bool(
            self.times and now_us() - self.times[-1][1] < within_us)

    def close(self, keep):
        """What is on it goes with it, or to where it was mounted."""
        if not self.mounted:
            return
        self.free()
        if keep:
            shutil.copytree(self.path, self.path + ".kept", ignore=sockets)
        LIBC.umount2(self.path.encode(), MNT_DETACH)
        if keep:
            shutil.copytree(self.path + ".kept", self.path,
                            dirs_exist_ok=True)
            shutil.rmtree(self.path + ".kept")
