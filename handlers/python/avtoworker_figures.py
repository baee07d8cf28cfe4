# SPDX-License-Identifier: ISC
"""Adds up what scripts count with prometheus_client.

    python avtoworker_figures.py DIRECTORY

prints the sum of the files in the directory in Prometheus' text format. Started
by avtoworkerd, one at a time. Exit status 3: this interpreter does not know
prometheus_client.

A process that ends leaves its files. Their gauges of living processes are
dropped, and counters and histograms of many dead ones are put into one file:
otherwise a worker that recycles its children would read more each day.
"""
import glob
import os
import sys

NO_LIBRARY = 3
ADDED_UP = ("counter", "histogram", "summary")
DEAD_MAX = 32  # processes whose files are left apart
NOBODY = 0  # the process that what is put together belongs to


def is_alive(pid: int) -> bool:
    """A number that is taken by another process by now costs nothing."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def owner(path: str) -> int:
    """counter_123.db, gauge_liveall_123.db"""
    number = os.path.basename(path)[:-len(".db")].rpartition("_")[2]
    return int(number) if number.isdigit() else NOBODY


def put_together(kind: str, paths: list) -> None:
    """Values of many files are added to those of one, and the files go."""
    from prometheus_client.mmap_dict import MmapedDict
    into = MmapedDict(os.path.join(os.path.dirname(paths[0]),
                                   f"{kind}_{NOBODY}.db"))
    try:
        for path in paths:
            for key, value, *_ in MmapedDict.read_all_values_from_file(path):
                before, *stamp = read_value(into, key)
                into.write_value(key, before + value, *stamp)
            os.unlink(path)
    finally:
        into.close()


def read_value(values: object, key: str) -> tuple:
    """Versions differ in whether there is a time behind it."""
    found = values.read_value(key)
    return found if isinstance(found, tuple) else (found,)


def clean_up(directory: str) -> None:
    """See above."""
    from prometheus_client import multiprocess
    dead: dict = {}
    for path in glob.glob(os.path.join(glob.escape(directory), "*.db")):
        pid = owner(path)
        if pid == NOBODY or is_alive(pid):
            continue
        kind = os.path.basename(path).partition("_")[0]
        if kind in ADDED_UP:
            dead.setdefault(kind, []).append(path)
        else:
            multiprocess.mark_process_dead(pid, directory)
    for kind, paths in dead.items():
        if len(paths) > DEAD_MAX:
            put_together(kind, paths)


def main() -> int:
    """The whole program."""
    directory = sys.argv[1]
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    try:
        import prometheus_client
        from prometheus_client import multiprocess
    except ImportError:
        return NO_LIBRARY
    clean_up(directory)
    registry = prometheus_client.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, directory)
    sys.stdout.buffer.write(prometheus_client.generate_latest(registry))
    return 0


if __name__ == "__main__":
    sys.exit(main())
