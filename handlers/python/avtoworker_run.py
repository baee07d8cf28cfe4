# SPDX-License-Identifier: ISC
"""Runs a worker script as a child of avtoworkerd.

    python avtoworker_run.py [--compile] [--app NAME] TARGET [ARG...]

where TARGET is FILE, -m MODULE or MODULE:NAME. With --compile nothing of it
is run.

Started by avtoworkerd only. Our module is imported before the script can
change sys.path, so that nothing the script does puts another one in its place.
"""
import os
import sys


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # where this file is; the script's folder goes there
    sys.path.insert(0, folder)
    from avtomatika_worker import _launch
    return _launch.main(sys.argv[1:], folder)


if __name__ == "__main__":
    sys.exit(main())
