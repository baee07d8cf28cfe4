#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""avtoworker-child --remove: directories with all that handlers can think of
in them, and nothing else."""
import errno
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from child_driver import CHILD, LIMIT_S, Skip, case, contains, equal, main

TMP = tempfile.TemporaryDirectory()


def make(*files):
    """A new directory with these files."""
    path = tempfile.mkdtemp(dir=TMP.name)
    for name in files:
        full = os.path.join(path, name)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w"):
            pass
    return path


def remove(*paths, status=0):
    done = subprocess.run([CHILD, "--remove", *paths], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=LIMIT_S)
    equal(done.returncode, status, "exit status: " + done.stdout)
    return done.stdout


@case("directories go with everything in them; one that is not there is fine")
def _():
    one, two = make("a", "b/c/d", "b/c/.e", "f/" + "x" * 255), make()
    os.mkfifo(one + "/fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(two + "/socket")
    for i in range(2000):
        os.mkdir("%s/%d" % (two, i))
    equal(remove(one, TMP.name + "/none", two), "", "output")
    equal((os.path.exists(one), os.path.exists(two)), (False, False), "gone")


@case("symbolic links are removed, and what they name stays")
def _():
    outside, path = make("kept"), make("a")
    os.symlink(outside, path + "/directory")
    os.symlink(outside + "/kept", path + "/file")
    os.symlink("/nonexistent", path + "/nowhere")
    remove(path)
    equal((os.path.exists(path), os.listdir(outside)), (False, ["kept"]),
          "what is there")
    link = TMP.name + "/link"
    os.symlink(outside, link)
    remove(link)
    equal((os.path.lexists(link), os.listdir(outside)), (False, ["kept"]),
          "one in the place of a directory, and what it names")


@case("a file in the place of a directory is removed")
def _():
    path = make("a")
    remove(path + "/a")
    equal(os.listdir(path), [], "what is left")
    os.mkdir(path + "/a")
    with open(path + "/b", "w"):
        pass
    remove(path + "/b/c", status=errno.ENOTDIR)
    equal(sorted(os.listdir(path)), ["a", "b"], "one on the way stays")


@case("a hard link takes nothing away from the other name")
def _():
    outside, path = make("kept"), make("a")
    os.link(outside + "/kept", path + "/same")
    os.chmod(outside + "/kept", 0o640)
    remove(path)
    equal(os.stat(outside + "/kept").st_mode & 0o777, 0o640, "mode")


@case("directories that nobody may enter are removed")
def _():
    path = make("a/b/c")
    os.chmod(path + "/a/b", 0)
    os.chmod(path + "/a", 0o500)
    if os.geteuid() != 0:
        os.chmod(path + "/a", 0)
    remove(path)
    equal(os.path.exists(path), False, "gone")


@case("directories that nobody may write into are removed")
def _():
    # Root may write everywhere, so somebody else does it.
    user = 65534 if os.geteuid() == 0 else None
    try:
        subprocess.run(["true"], user=user, check=True)
    except OSError:
        raise Skip("this root cannot be anybody else")
    with tempfile.TemporaryDirectory() as place:
        shutil.copy(CHILD, place + "/child")
        path = place + "/tasks/1"
        os.makedirs(path + "/d" * 60 + "/e")
        with open(path + "/d/d/file", "w"):
            pass
        for here, _names, files in os.walk(place + "/tasks", topdown=False):
            for name in [here] + [here + "/" + file for file in files]:
                if user is not None:
                    os.chown(name, user, user)
            os.chmod(here, 0o755 if here == place + "/tasks" else 0o555)
        os.chmod(place, 0o755)
        done = subprocess.run([place + "/child", "--remove", path], text=True,
                              stdout=subprocess.PIPE, user=user,
                              stderr=subprocess.STDOUT, timeout=LIMIT_S)
        equal((done.returncode, done.stdout), (0, ""), "what it says")
        equal(os.listdir(place + "/tasks"), [], "what is left")


@case("a tree that is deeper than any path is removed")
def _():
    path = make()
    here = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove(path)
    equal(os.path.exists(path), False, "gone")


@case("a directory that somebody holds locked is left alone")
def _():
    path = make("a")
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    remove(path)
    equal(os.listdir(path), ["a"], "locked")
    os.close(fd)
    remove(path)
    equal(os.path.exists(path), False, "unlocked")


@case("what cannot be removed is the exit status, and the others go")
def _():
    if os.geteuid() == 0:
        raise Skip("root may remove everything")
    one, two = make("a"), make("a")
    os.chmod(TMP.name, 0o500)
    try:
        remove(one, two, status=errno.EACCES)
    finally:
        os.chmod(TMP.name, 0o700)
    equal((os.listdir(one), os.listdir(two)), ([], []), "emptied")


@case("without directories, or with other options, it is a mistake")
def _():
    for words in ([], ["--describe", "x"], ["--category", "x", "/x"]):
        done = subprocess.run([CHILD, "--remove", *words], text=True,
                              stderr=subprocess.PIPE)
        equal(done.returncode, 64, repr(words))
        contains(done.stderr, "--remove")


main()
