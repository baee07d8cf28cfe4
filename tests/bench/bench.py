#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""avtoworkerd beside a bare libcurl loop and the Python SDK.

All of them work for the same development orchestrator, one after the other in
each round; a figure is the median of the rounds, a ratio the median of the
rounds' ratios, because a machine's mood changes between rounds more than
within one. Rates and latencies are measured by the orchestrator: from its
first lease to its last result, and from each lease to that result.
"""
import argparse
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOKEN = "bench-token"
CHILDREN = 10  # of avtoworkerd's category, and the SDK's limit
SLOTS = 16  # of the curl loop, and avtoworkerd's most tasks at once
PARAMS = '{"n":{i},"text":"twenty bytes of text"}'
SDK_VERSIONS = {"rxon": "1.0b19", "classic": "1.0b1"}
START_LIMIT = 60  # seconds until the first poll
RUN_LIMIT = 600
TICK = os.sysconf("SC_CLK_TCK")


# ---- processes and what they use ----

def descendants(pid):
    """All processes below pid."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as f:
                    fields = f.read().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(name))
    found, todo = [], [pid]
    while todo:
        below = parents.get(todo.pop(), [])
        found += below
        todo += below
    return found


def cpu_seconds(pid):
    """CPU of a process and everything below it, the dead included."""
    total = 0
    for each in [pid, *descendants(pid)]:
        with open(f"/proc/{each}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        total += sum(int(ticks) for ticks in fields[11:15])
    return total / TICK


def memory_kb(pid):
    """Proportional share, and private pages written to."""
    kb = {}
    with open(f"/proc/{pid}/smaps_rollup") as f:
        for line in f:
            name, _, rest = line.partition(":")
            if rest.strip().endswith("kB"):
                kb[name] = int(rest.split()[0])
    return kb["Pss"], kb["Private_Dirty"]


def tail(path):
    with open(path, errors="replace") as f:
        return "".join("    " + line for line in f.readlines()[-15:])


# ---- the contestants ----

class CurlLoop:
    name = "libcurl loop"

    def __init__(self, args):
        self.args = args
        self.tasks = args.tasks
        self.program = os.path.join(args.build, "tests/bench/curl_loop")
        self.missing = None if os.path.exists(self.program) else "not built"

    def command(self, port, tasks, directory):
        return [self.program, "--url", f"http://127.0.0.1:{port}", "--token",
                TOKEN, "--tasks", str(tasks), "--slots", str(SLOTS),
                "--mode", self.args.curl_mode,
                "--dialect", self.args.dialect], {}


class Avtoworkerd:
    def __init__(self, args, durability="process"):
        self.args = args
        self.durability = durability
        self.name = durability if args.durability else "avtoworkerd"
        self.tasks = args.tasks
        self.program = os.path.join(args.build, "avtoworkerd")
        self.module = os.path.join(args.build,
                                   "tests/bench/.libs/bench_echo.so")
        self.missing = None
        for path in (self.program, self.module):
            if not os.path.exists(path):
                self.missing = f"{path} is not built"

    def command(self, port, tasks, directory):
        path = os.path.join(directory, "bench.conf")
        with open(path, "w") as f:
            f.write(f"""worker {{
    max_concurrent_tasks = {SLOTS}
    state_dir = "{directory}/state"
    durability = {self.durability}
}}
log {{ level = warn }}
orchestrator main {{
    url = "http://127.0.0.1:{port}"
    protocol = {self.args.dialect}
}}
category light {{ children = {CHILDREN} }}
handler echo {{
    module = "{self.module}"
    category = light
}}
""")
        return [self.program, "-c", path], {
            "WORKER_ID": "bench", "WORKER_TOKEN": TOKEN,
            "AVTOWORKER_CHILD": os.path.join(self.args.build,
                                             "avtoworker-child")}


class Sdk:
    name = "Python SDK"

    def __init__(self, args):
        self.args = args
        self.tasks = args.sdk_tasks
        version = SDK_VERSIONS[args.dialect]
        self.name = f"Python SDK {version}"
        self.venv = os.path.join(args.build, "bench-sdk", version)
        self.missing = None if args.sdk else "left out"
        if args.sdk:
            self.install(f"avtomatika-worker=={version}")

    def install(self, package):
        mark = os.path.join(self.venv, "complete")
        if os.path.exists(mark):
            return
        print(f"installing {package} into {self.venv}", file=sys.stderr)
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear",
                            self.venv], check=True)
            subprocess.run([self.venv + "/bin/pip", "install", "--quiet",
                            "--disable-pip-version-check", package],
                           check=True)
            open(mark, "w").close()
        except subprocess.CalledProcessError as error:
            self.missing = f"cannot be installed: {error}"

    def command(self, port, tasks, directory):
        return [self.venv + "/bin/python", HERE + "/sdk_worker.py"], {
            "WORKER_ID": "bench", "WORKER_TOKEN": TOKEN,
            "MAX_CONCURRENT_TASKS": str(CHILDREN),
            "ORCHESTRATOR_URL": f"http://127.0.0.1:{port}",
            "TASK_FILES_DIR": directory + "/files",
            "WORKER_BLOB_CACHE_DIR": directory + "/cache"}


# ---- one run ----

class Broken(Exception):
    """A run that gave no figures."""


def start_devorch(args, tasks, options, kind="echo"):
    devorch = subprocess.Popen(
        [os.path.join(args.build, "avtoworker-devorch"),
         "--listen", "127.0.0.1:0", "--dialect", args.dialect,
         "--token", TOKEN, "--hold", "--exit-when-done", "--json",
         "--tasks", f"{kind}={tasks}:{PARAMS}", *options],
        stdout=subprocess.PIPE, text=True)
    return devorch, int(devorch.stdout.readline().partition("=")[2])


def wait_for_poll(devorch, worker):
    end = time.monotonic() + START_LIMIT
    while not select.select([devorch.stdout], [], [], 0.2)[0]:
        if worker.poll() is not None:
            raise Broken(f"ended with {worker.returncode} before it polled")
        if time.monotonic() > end:
            raise Broken(f"did not poll within {START_LIMIT} s")
    devorch.stdout.readline()


def wait_for_children(worker, count):
    """Until that many children stand below it, as a fair start."""
    end = time.monotonic() + START_LIMIT
    while len(descendants(worker.pid)) < count:
        if time.monotonic() > end:
            raise Broken(f"no {count} processes within {START_LIMIT} s")
        time.sleep(0.05)


def stop(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def measure(contestant, args, tasks, options, directory):
    """Runs tasks through a fresh contestant and a fresh orchestrator."""
    log_path = os.path.join(directory, "worker.log")
    devorch, port = start_devorch(args, tasks, options)
    command, environment = contestant.command(port, tasks, directory)
    log = open(log_path, "w")
    worker = subprocess.Popen(command, stdout=log, stderr=log,
                              env={**os.environ, **environment})
    try:
        wait_for_poll(devorch, worker)
        if isinstance(contestant, Avtoworkerd):
            wait_for_children(worker, CHILDREN)
        before = cpu_seconds(worker.pid)
        devorch.send_signal(signal.SIGUSR1)
        if isinstance(contestant, CurlLoop):
            worker.wait(RUN_LIMIT)
        out = devorch.communicate(timeout=RUN_LIMIT)[0]
        figures = json.loads(out.splitlines()[-1])
        if isinstance(contestant, CurlLoop):
            log.flush()
            with open(log_path) as f:
                cpu = json.loads(f.read())["cpu_seconds"]
        else:
            cpu = cpu_seconds(worker.pid) - before
            figures["memory"] = memory_kb(worker.pid)
            figures["children"] = [memory_kb(pid)
                                   for pid in descendants(worker.pid)]
        figures["cpu_per_1000"] = cpu / tasks * 1000
    except (Broken, OSError, ValueError, IndexError, KeyError,
            subprocess.TimeoutExpired) as error:
        raise Broken(f"{contestant.name}: {error}\n{tail(log_path)}")
    finally:
        stop(worker)
        stop(devorch)
        log.close()
    wrong = {key: figures[key] for key in ("lost", "duplicates", "unknown",
                                           "refused") if figures[key]}
    if wrong or figures["results"] != {"success": tasks}:
        raise Broken(f"{contestant.name}: {figures['results']} {wrong}")
    return figures


def measure_round(contestants, args):
    """Each contestant's figures: saturated, then one task at a time."""
    figures = {}
    for c in contestants:
        with tempfile.TemporaryDirectory(prefix="avtoworker-bench") as d:
            full = measure(c, args, c.tasks, [], d)
        with tempfile.TemporaryDirectory(prefix="avtoworker-bench") as d:
            one = measure(c, args, max(c.tasks // 10, 200),
                          ["--window", "1"], d)
        figures[c] = {"rate": full["tasks_per_second"],
                      "cpu": full["cpu_per_1000"],
                      "busy_p50": full["latency_us"]["p50"],
                      "busy_p99": full["latency_us"]["p99"],
                      "p50": one["latency_us"]["p50"],
                      "p99": one["latency_us"]["p99"],
                      "memory": full.get("memory"),
                      "children": full.get("children")}
        print(f"  {c.name}: {full['tasks_per_second']:.0f} tasks/s, "
              f"{one['latency_us']['p50']} us", file=sys.stderr)
    return figures


# ---- the table ----

def median(rounds, contestant, key):
    return statistics.median(r[contestant][key] for r in rounds)


def memory_rows(rounds, c):
    """PSS and private dirty in KB: of the process itself, and of a child."""
    own = [r[c]["memory"] for r in rounds if r[c]["memory"]]
    children = [m for r in rounds for m in r[c]["children"] or ()]
    return [(statistics.median(m[0] for m in some),
             statistics.median(m[1] for m in some)) if some else None
            for some in (own, children)]


def summarize(rounds, contestants):
    """All figures by contestant, as a plain dictionary."""
    out = {}
    for c in contestants:
        own, child = memory_rows(rounds, c)
        out[c.name] = {key: median(rounds, c, key) for key in (
            "rate", "busy_p50", "busy_p99", "p50", "p99", "cpu")}
        out[c.name]["memory_kb"] = own
        out[c.name]["child_memory_kb"] = child
    return out


ROWS = (
    ("tasks/s, saturated", "rate", "{:,.0f}"),
    ("lease to result, saturated, p50, us", "busy_p50", "{:,.0f}"),
    ("lease to result, saturated, p99, us", "busy_p99", "{:,.0f}"),
    ("lease to result, one at a time, p50, us", "p50", "{:,.0f}"),
    ("lease to result, one at a time, p99, us", "p99", "{:,.0f}"),
    ("CPU seconds per 1000 tasks", "cpu", "{:.3f}"),
    ("memory, process, PSS / private dirty, KB", "memory_kb",
     "{0[0]:,.0f} / {0[1]:,.0f}"),
    ("memory, idle child, PSS / private dirty, KB", "child_memory_kb",
     "{0[0]:,.0f} / {0[1]:,.0f}"),
)


def print_table(summary):
    names = list(summary)
    widths = [max(20, len(name)) for name in names]
    print(f"\n{'':44}" + "  ".join(
        f"{name:>{w}}" for name, w in zip(names, widths)))
    for title, key, form in ROWS:
        cells = [form.format(summary[n][key])
                 if summary[n][key] is not None else "-" for n in names]
        print(f"{title:44}" + "  ".join(
            f"{cell:>{w}}" for cell, w in zip(cells, widths)))


def print_prices(rounds, contestants):
    """What each durability costs beside none."""
    off = contestants[0]
    print()
    for c in contestants[1:]:
        for title, key in (("tasks/s", "rate"), ("p50, one at a time", "p50"),
                           ("p99, one at a time", "p99"),
                           ("CPU per task", "cpu")):
            ratios = [r[c][key] / r[off][key] for r in rounds]
            print(f"{c.name} / {off.name}, {title}: "
                  f"{statistics.median(ratios):.2f} "
                  f"({min(ratios):.2f} to {max(ratios):.2f})")


def print_ratios(rounds, contestants):
    by_class = {type(c): c for c in contestants}
    print()
    for over, under in ((Avtoworkerd, CurlLoop), (Avtoworkerd, Sdk),
                        (CurlLoop, Sdk)):
        if over in by_class and under in by_class:
            a, b = by_class[over], by_class[under]
            ratios = [r[a]["rate"] / r[b]["rate"] for r in rounds]
            print(f"{a.name} / {b.name}, tasks/s: "
                  f"{statistics.median(ratios):.2f} "
                  f"({min(ratios):.2f} to {max(ratios):.2f})")


def read_arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", default=".", help="the build directory")
    p.add_argument("--dialect", choices=("rxon", "classic"), default="rxon")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--tasks", type=int, default=40000,
                   help="tasks of a saturated run")
    p.add_argument("--sdk-tasks", type=int, default=2000,
                   help="the same for the SDK, which is slower")
    p.add_argument("--curl-mode", choices=("socket", "poll"),
                   default="socket", help="how the curl loop drives libcurl")
    p.add_argument("--no-sdk", dest="sdk", action="store_false",
                   help="leave the SDK out")
    p.add_argument("--durability", action="store_true",
                   help="compare avtoworkerd's settings of durability; the "
                   "journals are in $TMPDIR")
    p.add_argument("--json", metavar="FILE", help="write the figures there")
    args = p.parse_args()
    args.build = os.path.abspath(args.build)
    return args


def main():
    args = read_arguments()
    contestants = []
    if args.durability:
        everybody = [Avtoworkerd(args, d) for d in ("off", "process", "power")]
    else:
        everybody = [kind(args) for kind in (CurlLoop, Avtoworkerd, Sdk)]
    for contestant in everybody:
        if contestant.missing:
            print(f"without {contestant.name}: {contestant.missing}",
                  file=sys.stderr)
        else:
            contestants.append(contestant)
    rounds = []
    try:
        for number in range(args.rounds):
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
            rounds.append(measure_round(contestants, args))
    except Broken as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    summary = summarize(rounds, contestants)
    print(f"{args.dialect}, {args.rounds} rounds, {os.cpu_count()} CPUs, "
          f"{CHILDREN} children, {SLOTS} slots")
    print_table(summary)
    if args.durability:
        print_prices(rounds, contestants)
    else:
        print_ratios(rounds, contestants)
    if args.json:
        with open(args.json, "w") as f:
            json.dump(summary, f, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
