# SPDX-License-Identifier: ISC
"""Processes of this machine, and its ports."""
import ctypes
import fcntl
import os
import signal
import socket

PR_SET_CHILD_SUBREAPER = 36


def parents():
    """{pid: (parent, state)} of the whole machine."""
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8",
                      errors="replace") as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        table[int(name)] = (int(fields[1]), fields[0])
    return table


def descendants(pid):
    """Living processes below that one."""
    table = parents()
    found, level = [], [pid]
    while level:
        level = [p for p, (parent, _) in table.items() if parent in level]
        found += level
    return [p for p in found if table[p][1] != "Z"]


def proc_read(pid, name):
    """A file of /proc/PID as text; "" when it cannot be read."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as f:
            return f.read().decode("utf-8", "replace")
    except OSError:
        return ""


def kill(pid, number=signal.SIGKILL):
    """One that may be gone by now."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def cpu_s(pid):
    """Processor time that it has used, in seconds."""
    fields = proc_read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def lock_is_free(path):
    """True when every process that held the lock is dead."""
    with open(path, "r+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def adopt_orphans():
    """What a killed worker leaves behind comes to us, and is seen."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


GUARDS = []  # sockets whose names say which ports are taken


def free_port():
    """A port nobody listens on, below those that the kernel hands out, and no
    other test is going to."""
    while True:
        port = 10000 + int.from_bytes(os.urandom(2), "little") % 20000
        guard = socket.socket(socket.AF_UNIX)
        try:
            guard.bind(f"\0avtoworker-test-port-{port}")
        except OSError:
            guard.close()
            continue
        GUARDS.append(guard)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
