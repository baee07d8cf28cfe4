#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""One Python script under avtoworkerd and under the Python SDK.

Three kinds of work, each round both workers one after the other, for the same
development orchestrator: handlers that do nothing; 20 ms of processor time
each with as many children as there are cores; 100 ms of waiting with all tasks
in one child. Figures are medians of rounds, ratios medians of the rounds'
ratios (see bench.py).
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile

import bench

CORES = os.cpu_count() or 1
AT_ONCE = 10  # tasks, as the SDK has them by default
SCRIPT = os.path.join(bench.HERE, "bench_script.py")

# kind of task, how many, and what the category is under avtoworkerd
WORK = (
    ("echo", 2000, f"children = {CORES}\n    tasks_per_child = {AT_ONCE}"),
    ("compute", 200, f"children = {CORES}"),
    ("nap", 500, f"children = 1\n    tasks_per_child = {AT_ONCE}"),
)


class Script(bench.Avtoworkerd):
    """The script's children."""

    def __init__(self, args, category):
        self.args = args
        self.category = category
        self.program = os.path.join(args.build, "avtoworkerd")

    def command(self, port, tasks, directory):
        path = os.path.join(directory, "bench.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"""worker {{
    max_concurrent_tasks = {AT_ONCE}
    state_dir = "{directory}/state"
}}
log {{ level = warn }}
metrics {{ enabled = no }}
orchestrator main {{
    url = "http://127.0.0.1:{port}"
    protocol = {self.args.dialect}
}}
category default {{
    {self.category}
}}
python bench {{ script = "{SCRIPT}" }}
""")
        return [self.program, "-c", path], {
            "WORKER_ID": "bench", "WORKER_TOKEN": bench.TOKEN,
            "AVTOWORKER_CHILD": os.path.join(self.args.build,
                                             "avtoworker-child")}


class Sdk(bench.Sdk):
    """The script by itself."""

    def command(self, port, tasks, directory):
        _, environment = super().command(port, tasks, directory)
        environment["MAX_CONCURRENT_TASKS"] = str(AT_ONCE)
        return [self.venv + "/bin/python", SCRIPT], environment


def run(contestant, args, kind, tasks):
    """Tasks per second, by the orchestrator's clock."""
    with tempfile.TemporaryDirectory(prefix="avtoworker-bench") as directory:
        log_path = os.path.join(directory, "worker.log")
        devorch, port = bench.start_devorch(args, tasks, [], kind)
        command, environment = contestant.command(port, tasks, directory)
        with open(log_path, "wb") as log:
            worker = subprocess.Popen(command, stdout=log, stderr=log,
                                      env={**os.environ, **environment})
        try:
            bench.wait_for_poll(devorch, worker)
            devorch.send_signal(bench.signal.SIGUSR1)
            out = devorch.communicate(timeout=bench.RUN_LIMIT)[0]
            figures = json.loads(out.splitlines()[-1])
        except (bench.Broken, ValueError, IndexError, KeyError,
                subprocess.TimeoutExpired) as error:
            raise bench.Broken(f"{kind}: {error}\n{bench.tail(log_path)}") \
                from None
        finally:
            bench.stop(worker)
            bench.stop(devorch)
    if figures["results"] != {"success": tasks}:
        raise bench.Broken(f"{kind}: {figures['results']}")
    return figures["tasks_per_second"], figures["latency_us"]["p50"]


def main():
    """One line for each kind of work."""
    args = bench.read_arguments()
    sdk = Sdk(args)
    if sdk.missing:
        print(f"bench: the SDK: {sdk.missing}", file=sys.stderr)
        return 1
    try:
        for kind, tasks, category in WORK:
            ours = Script(args, category)
            rounds = [(run(ours, args, kind, tasks),
                       run(sdk, args, kind, tasks))
                      for _ in range(args.rounds)]
            rate = [statistics.median(r[i][0] for r in rounds)
                    for i in (0, 1)]
            p50 = [statistics.median(r[i][1] for r in rounds)
                   for i in (0, 1)]
            ratio = statistics.median(a[0] / b[0] for a, b in rounds)
            print(f"{kind:8} avtoworkerd {rate[0]:8.0f} tasks/s, "
                  f"p50 {p50[0]:8.0f} us;  {sdk.name} {rate[1]:8.0f} tasks/s, "
                  f"p50 {p50[1]:8.0f} us;  ratio {ratio:.2f}")
    except bench.Broken as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
