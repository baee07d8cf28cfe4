# SPDX-License-Identifier: ISC
"""Runs a script in the guide's form under the SDK, which does not know that
form: of what Worker() is given it gets what it knows, and task() is skill()."""
import inspect
import runpy
import sys

from avtomatika_worker import Worker

init = Worker.__init__
known = inspect.signature(init).parameters


def guide_init(self, **given):
    given["skill_type_limits"] = given.pop("task_type_limits", None)
    init(self, **{k: v for k, v in given.items() if k in known})


def task(self, name, task_type=None):
    return self.skill(name, **({"type": task_type} if task_type else {}))


Worker.__init__ = guide_init
Worker.task = task
runpy.run_path(sys.argv[1], run_name="__main__")
