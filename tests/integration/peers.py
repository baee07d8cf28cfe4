#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Virtual environments that hold the real orchestrators, and the real Python
SDK for workers (sdk-...), from PyPI.

    peers.py [VERSION...]

builds what is missing, under $AVTOWORKER_PEERS or $top_builddir/peers, and
prints nothing when all is well. A finished environment carries a stamp with
the pins it was built from; anything else is built anew. Two runs at once are
safe: the second waits for the first one's lock.
"""
import fcntl
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
VERSIONS = ("1.0b1", "1.0b5", "1.0b28", "1.0b30", "sdk-1.0b1", "sdk-1.0b20")
OLDEST_PYTHON = "3.11"


class PeerError(Exception):
    """One line for the user."""


def root():
    build = os.environ.get("top_builddir", ".")
    return os.path.abspath(
        os.environ.get("AVTOWORKER_PEERS", os.path.join(build, "peers")))


def is_usable(python):
    """New enough, and able to make environments with pip in them."""
    probe = ("import sys, venv, ensurepip; "
             "sys.exit(sys.version_info < (%s))"
             % OLDEST_PYTHON.replace(".", ", "))
    try:
        return subprocess.run([python, "-c", probe], capture_output=True,
                              check=False).returncode == 0
    except OSError:
        return False


def find_python():
    for python in (sys.executable, "/usr/bin/python3", "python3",
                   "python3.13", "python3.12", "python3.11"):
        if python and is_usable(python):
            return python
    raise PeerError(f"no python3 >= {OLDEST_PYTHON} with venv found; "
                    "on Debian: apt-get install python3-venv")


def step(what, argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False)
    except OSError as e:
        raise PeerError(f"cannot {what}: {argv[0]}: {e.strerror}") from None
    if done.returncode != 0:
        lines = (done.stderr + done.stdout).strip().splitlines()
        errors = [x for x in lines if x.startswith("ERROR")] or lines[-1:]
        reason = (errors or ["no reason given"])[0]
        raise PeerError(f"cannot {what}: {reason.removeprefix('ERROR: ')}")


def name_of(version):
    kind, _, number = version.rpartition("-")
    return f"avtomatika-worker {number}" if kind else f"avtomatika {number}"


def build(venv, version, pins):
    shutil.rmtree(venv, ignore_errors=True)
    step(f"make an environment in {venv}",
         [find_python(), "-m", "venv", venv])
    step(f"install {name_of(version)} from PyPI",
         [os.path.join(venv, "bin", "python"), "-m", "pip", "install",
          "--quiet", "--disable-pip-version-check", "--no-input",
          "--requirement", pins])


def python_of(version):
    """The interpreter of that version's environment, built when missing."""
    pins = os.path.join(HERE, f"peers-{version}.txt")
    venv = os.path.join(root(), version)
    stamp = os.path.join(venv, "pins.txt")
    python = os.path.join(venv, "bin", "python")
    try:
        os.makedirs(root(), exist_ok=True)
        with open(pins, encoding="utf-8") as f:
            want = f.read()
        with open(venv + ".lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if read(stamp) != want or not os.path.exists(python):
                build(venv, version, pins)
                with open(stamp, "w", encoding="utf-8") as f:
                    f.write(want)
    except OSError as e:
        raise PeerError(f"cannot prepare {name_of(version)}: "
                        f"{e.filename}: {e.strerror}") from None
    return python


def read(path):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read()
    except OSError:
        return None


def main():
    try:
        for version in sys.argv[1:] or VERSIONS:
            python_of(version)
    except PeerError as e:
        sys.exit(f"peers: {e}")


if __name__ == "__main__":
    main()
