# SPDX-License-Identifier: ISC
"""What the orchestrator saw, judged: every task that was handed out has got
exactly one result, and one that its mode allows."""
import bisect
import collections
import hashlib
import json
import os
import re
import zlib

LETTERS = b"abcdefghijklmnopqrstuvwxyz012345"
SUCCESS = {"success"}
TIMEOUT = {"TIMEOUT_ERROR"}

# How a task of each mode may end, besides dying with its child.
MODES = {
    "ok": SUCCESS, "big_params": SUCCESS, "big_result": SUCCESS,
    "eat": SUCCESS, "chatter": SUCCESS, "leave_fork": SUCCESS,
    "leave_session": SUCCESS, "leave_daemon": SUCCESS,
    "polite": SUCCESS, "fail": {"CHAOS_FAIL"},
    "segv": set(), "abort": set(), "exit_0": set(), "exit_middle": set(),
    "garbage": set(), "hang_up": TIMEOUT, "hang": TIMEOUT, "spin": TIMEOUT,
    "stop_self": TIMEOUT,
}
DEATHS = 3  # max_deaths_per_task
# A task that was handed out so shortly before a process was killed (or after,
# when nobody had noticed yet) may never have got there, or not to the disk.
WINDOW_US = 300000
LATE_US = 1000000  # what a busy machine needs after a net that stood still
BIG_WINDOW_US = 5000000  # megabytes are under way for longer
RETRY_US = 6000000  # until a disk that has room again is tried again
AFTER_BLOW = 10  # seconds after which heartbeats are regular again


class Spec:
    """One kind of task, as devorch's --tasks has it."""

    def __init__(self, category, mode, size=None, fill=None):
        self.category = category
        self.mode = mode
        self.size = size
        self.big = fill is not None
        params = f'{{"mode":"{mode}","n":{{i}}'
        if size:
            params += f',"size":{size}'
        if fill:
            params += f',"pad":"{{fill={fill}}}"'
        self.params = params + "}"

    def option(self, count):
        return f"--tasks={self.category}={count}:{self.params}"

    def text(self, number):
        """The params of that task, as they were sent."""
        def letters(mark):
            size = int(mark.group(1))
            return (LETTERS * (size // 32 + 1))[:size].decode()
        return re.sub(r"\{fill=(\d+)\}", letters,
                      self.params.replace("{i}", str(number))).encode()


class Ledger:
    """Read while it grows. Only tasks without a result are kept."""

    def __init__(self, path, specs):
        self.specs = specs
        self.file = open(path, "rb")
        self.open = {}  # task id: (spec, number, attempt, when in us)
        self.on_disk = set()  # tasks that the worker's journal has held
        self.blows = []  # when the worker, its orchestrator or a connection
        # of theirs was ended, in us, in order
        self.stalls = []  # (from, to) in us: what was under way, waited
        self.delays = []  # the same, for a machine that was busy with others
        self.kills = []  # of the worker alone, in us, in order
        self.full = []  # (from, to) in us: nothing could be put on disk
        self.accepted_us = {}  # task id: when, where a copy may follow
        self.fault_us = collections.deque()  # results without an answer
        self.tasks = 0
        self.results = 0
        self.deaths = 0  # results that tell of a child's death
        self.outcomes = {}  # (mode, outcome): how many
        self.wrong = []
        self.unexpected = []
        self.twice = []  # accepted, and had been accepted before
        self.copies = collections.Counter()  # task id: duplicates, as the
        # orchestrator calls them
        self.doubtful = []  # of them: (what, reasons missing, when in us)
        self.faults = 0  # requests that were answered wrongly
        self.result_faults = 0
        self.beats = []  # seconds

    def read(self):
        """What has come since. The part of a line is left where it is: an
        orchestrator that comes back cuts off what it wrote when it was
        killed, and goes on at once."""
        *lines, part = self.file.read().split(b"\n")
        self.file.seek(-len(part), os.SEEK_CUR)
        for line in lines:
            self.take(json.loads(line))
        return len(lines)

    def take(self, e):
        self.faults += bool(e.get("fault"))
        if e["event"] == "task":
            self.tasks += 1
            self.open[e["task_id"]] = (
                self.specs[e["spec"]], e["number"], e["attempt"], e["at_us"])
        elif e["event"] == "heartbeat":
            self.beats.append(e["at_us"] / 1e6)
        elif e["event"] == "result" and "verdict" in e:
            self.result(e)
        elif e["event"] == "result":
            self.result_faults += 1
            self.fault_us.append(e["at_us"])

    def copy(self, e):
        """Explained by as many blows and withheld answers since the result
        itself as there are copies of it."""
        task = e["task_id"]
        self.copies[task] += 1
        since = self.accepted_us.get(task, e["at_us"])
        # The result may have been on its way since the net stood still.
        since = min([since] + [a for a, b in (*self.stalls, *self.delays)
                               if a <= since <= b + LATE_US])
        reasons = [at for at in (*self.blows, *self.fault_us)
                   if since - WINDOW_US <= at <= e["at_us"]]
        if self.copies[task] > len(reasons):
            self.doubtful.append((brief(e), self.copies[task] - len(reasons),
                                  e["at_us"]))

    def result(self, e):
        self.results += 1
        task = e["task_id"]
        if e["verdict"] == "duplicate":
            self.copy(e)
        elif e["verdict"] != "accepted":
            self.unexpected.append(f"{e['verdict']}: {brief(e)}")
        elif task not in self.open:
            self.twice.append(brief(e))
        else:
            spec, number, attempt, _ = self.open.pop(task)
            self.accepted_us[task] = e["at_us"]
            trouble = self.judge(e, spec, number, attempt)
            if trouble:
                self.wrong.append(f"{spec.category}/{spec.mode} attempt "
                                  f"{attempt}: {trouble}: {brief(e)}")

    def judge(self, e, spec, number, attempt):
        """None, or what cannot be."""
        status = e["status"]
        code = (e.get("error") or {}).get("code", "")
        outcome = "success" if status == "success" else code
        key = (spec.mode, outcome)
        self.outcomes[key] = self.outcomes.get(key, 0) + 1
        if status not in ("success", "failure"):
            return "no such status"
        if status == "success" and "error" in e:
            return "a success with an error"
        if outcome in MODES[spec.mode]:
            return self.proof(e, spec, number) if outcome == "success" \
                else None
        # Its child has died of it, or was killed by us.
        self.deaths += 1
        if code == "TRANSIENT_ERROR":
            return None
        if code == "PERMANENT_ERROR":
            return None if attempt >= DEATHS else "given up too early"
        if code == "TIMEOUT_ERROR" and spec.category == "limited":
            return None  # it may have been stopped for too long
        return "it cannot end like that"

    @staticmethod
    def proof(e, spec, number):
        data = e.get("data") or {}
        want = {"task_id": e["task_id"], "n": number,
                "crc": zlib.crc32(spec.text(number))}
        if spec.mode == "big_result":
            want["big"] = chr(97 + number % 26) * spec.size
            text = json.dumps({k: want[k] for k in (
                "big", "task_id", "n", "crc")}, separators=(",", ":"))
            digest = hashlib.sha256(text.encode()).hexdigest()
            return None if e.get("data_sha256") == digest \
                else "its data is damaged"
        for key, value in want.items():
            if data.get(key) != value:
                return f"{key} is {data.get(key)!r}, not {value!r}"
        return None

    def in_window(self, spec, handed_us):
        """Whether a blow may have met the task before it was on the disk."""
        # What a net has held up may be for somebody who is gone.
        if any(a - WINDOW_US <= handed_us <= b + LATE_US
               for a, b in self.stalls):
            return True
        for a, b in self.full:
            # While there is no room, memory alone has it.
            if a - WINDOW_US <= handed_us <= b + RETRY_US and any(
                    handed_us <= k <= b + RETRY_US for k in self.kills):
                return True
        end = handed_us + (BIG_WINDOW_US if spec.big else WINDOW_US)
        end = max([end] + [b + WINDOW_US for a, b in self.delays
                           if a - WINDOW_US <= handed_us <= b])
        at = bisect.bisect_left(self.blows, handed_us - WINDOW_US)
        return at < len(self.blows) and self.blows[at] <= end

    def lost(self):
        return [f"{task}: {spec.category}/{spec.mode} attempt {attempt}, "
                f"handed out at {at_us}" +
                (", was in the journal" if task in self.on_disk else "")
                for task, (spec, _, attempt, at_us) in self.open.items()
                if task in self.on_disk or not self.in_window(spec, at_us)]

    def window(self):
        """Tasks that met a blow on their way."""
        return len(self.open) - len(self.lost())

    def accepted_twice(self):
        """The end of a stalled net is written down a moment after it."""
        return self.twice + [
            what for what, missing, at_us in self.doubtful
            if bisect.bisect_right(self.blows, at_us + WINDOW_US) -
            bisect.bisect_right(self.blows, at_us) < missing]

    def heartbeat_gap(self):
        """The longest in which nobody was struck."""
        gap = 0
        for a, b in zip(self.beats, self.beats[1:]):
            at = bisect.bisect_left(self.blows, (a - AFTER_BLOW) * 1e6)
            if at == len(self.blows) or self.blows[at] > b * 1e6:
                gap = max(gap, b - a)
        return gap


def brief(e):
    return json.dumps(e)[:600]
