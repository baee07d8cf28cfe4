#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A handler outside this tree needs nothing but what is installed."""
import glob
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from child_driver import (BUILD, SRC, Skip, case, equal, main, serve)

TMP = tempfile.TemporaryDirectory()
ROOT = TMP.name + "/root"
WORK = TMP.name + "/greet"
MAKE = os.environ.get("MAKE", "make")
# What the make that runs the tests has set is not meant for these.
PLAIN = {name: value for name, value in os.environ.items()
         if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "DESTDIR")}


def run(*command, **environment):
    done = subprocess.run(command, env={**PLAIN, **environment}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise AssertionError("%s: %s" % (" ".join(command), done.stdout))
    return done.stdout


def installed(name):
    return glob.glob(ROOT + "/**/" + name, recursive=True)[0]


@case("header and pkg-config file are installed")
def _():
    run(MAKE, "-C", BUILD, "DESTDIR=" + ROOT,
        "install-avtoworkerincludeHEADERS", "install-pkgconfigDATA")
    equal(installed("handler.h").endswith("/include/avtoworker/handler.h"),
          True, "header")
    installed("avtoworker.pc")


@case("the example builds with pkg-config's flags alone")
def _():
    if not shutil.which("pkg-config"):
        raise Skip("there is no pkg-config")
    os.mkdir(WORK)
    for name in ("Makefile", "greet.c"):
        # The content alone: the source may be read-only.
        shutil.copyfile("%s/handlers/examples/outoftree/%s" % (SRC, name),
                        "%s/%s" % (WORK, name))
    compiler = os.environ.get("CC") or "cc"
    run(MAKE, "-C", WORK, "CC=" + compiler,
        PKG_CONFIG_PATH=os.path.dirname(installed("avtoworker.pc")),
        PKG_CONFIG_SYSROOT_DIR=ROOT, PKG_CONFIG_ALLOW_SYSTEM_CFLAGS="1")


@case("the module runs")
def _():
    if not os.path.exists(WORK + "/greet.so"):
        raise Skip("it has not been built")
    child = serve("greet=" + WORK + "/greet.so")
    child.ready()
    equal(child.data("greet", {"name": "world"}),
          {"greeting": "hello, world"}, "data")
    child.stop()


@case("the header stands alone, in C and in C++")
def _():
    compiler = shlex.split(os.environ.get("CC") or "cc")
    header = installed("handler.h")
    run(*compiler, "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror",
        "-fsyntax-only", "-x", "c", header)
    cxx = os.environ.get("CXX") or "c++"
    if not shutil.which(shlex.split(cxx)[0]):
        raise Skip("there is no C++ compiler: C only")
    source = TMP.name + "/module.cc"
    with open(source, "w") as out:
        out.write("""#include <avtoworker/handler.h>
static void
run(aw_task *task, void *)
{
	aw_json_bool(aw_data(task), "cxx", true);
	aw_success_data(task);
}
static const aw_handler cxx = {
	sizeof(aw_handler), "cxx", nullptr, nullptr, run, nullptr
};
AW_MODULE(&cxx);
""")
    run(*shlex.split(cxx), "-std=c++11", "-Wall", "-Wextra", "-Werror",
        "-Wno-missing-field-initializers",
        "-shared", "-fPIC", "-I" + os.path.dirname(os.path.dirname(header)),
        "-o", TMP.name + "/cxx.so", source)
    child = serve("cxx=" + TMP.name + "/cxx.so")
    child.ready()
    equal(child.data("cxx", {}), {"cxx": True}, "data")
    child.stop()


main()
