# SPDX-License-Identifier: ISC
"""What the worker is told to be, and what it is given to do."""
from ledger import Spec

BIG_IN = 8 * 1024 * 1024 - 600
BIG_OUT = 900 * 1024

# Weight, category, mode, and sizes. A task in a thousand is a big one.
MIX = (
    (40, "steady", "ok", {}), (6, "steady", "fail", {}),
    (3, "steady", "segv", {}), (3, "steady", "exit_0", {}),
    (3, "steady", "exit_middle", {}), (2, "steady", "abort", {}),
    (2, "steady", "garbage", {}), (1, "steady", "big_params",
                                   {"fill": BIG_IN}),
    (2, "steady", "big_result", {"size": BIG_OUT}),
    (2, "steady", "chatter", {"size": 200000}),
    (3, "steady", "leave_fork", {}),
    (25, "dynamic", "ok", {}), (3, "dynamic", "segv", {}),
    (1, "dynamic", "big_params", {"fill": BIG_IN}),
    (2, "dynamic", "eat", {"size": 32 << 20}),
    (8, "demand", "ok", {}), (1, "demand", "exit_0", {}),
    (25, "recycled", "ok", {}), (2, "recycled", "eat", {"size": 64 << 20}),
    (2, "recycled", "big_result", {"size": BIG_OUT}),
    (10, "limited", "ok", {}), (1, "limited", "hang", {}),
    (1, "limited", "spin", {}), (1, "limited", "stop_self", {}),
    (1, "limited", "hang_up", {}), (3, "limited", "polite", {}),
    (10, "launched", "ok", {}), (2, "launched", "segv", {}),
    (2, "launched", "leave_fork", {}), (2, "launched", "leave_session", {}),
    (2, "launched", "leave_daemon", {}),
)

CONFIG = """
worker {{
    id = chaos
    state_dir = "{dir}/state"
    max_concurrent_tasks = {places}
    max_deaths_per_task = {deaths}
    heartbeat_interval = 1s
    poll_interval = 100ms
    min_free_memory = 16M
}}
log {{
    level = info
}}
metrics {{
    port = {metrics}
    address = 127.0.0.1
}}
orchestrator main {{
    url = "http://127.0.0.1:{port}"
    token_file = "{dir}/token"
    protocol = {dialect}
    request_timeout = 2s
}}
category steady {{
    children = {steady}
}}
category dynamic {{
    min_children = 1
    max_children = {dynamic}
    idle_timeout = 1s
}}
category demand {{
    min_children = 0
    max_children = 2
    idle_timeout = 1s
}}
category recycled {{
    children = 2
    max_tasks_per_child = {recycle}
    max_child_age = 5s
    max_memory_per_child = 400M
}}
category limited {{
    children = 2
    soft_time_limit = 300ms
    time_limit = 500ms
    cancel_grace = 100ms
    slow_after = 200ms
    memory_limit = 1G
    nice = 5
}}
category launched {{
    children = 2
    launcher = yes
    sweep = task
}}
module chaos {{
    file = "{module}"
}}
"""


def shuffled(only, rng):
    """The kinds of tasks, each as often as it weighs; of these categories
    alone, if any are named."""
    specs = [Spec(category, mode, **more)
             for weight, category, mode, more in MIX
             for _ in range(weight) if not only or category in only]
    rng.shuffle(specs)
    return specs
