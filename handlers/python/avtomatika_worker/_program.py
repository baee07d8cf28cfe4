# SPDX-License-Identifier: ISC
"""This process as a child of the supervisor: its channel, its one Worker, and
how it is told to leave.

There is one Program in a process that avtoworkerd started, and none in any
other: not in one that a handler forks or spawns, not in a test that imports
the module. Those may make Workers, which then do nothing.
"""
from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from typing import Any, Dict, List, Optional, Tuple

from . import _channel
from ._channel import Channel, Frame

ENVIRONMENT = "AVTOWORKER_CHANNEL"
LINGERS = 1.0  # seconds that a script may go on behind its main()
HERE = os.path.dirname(os.path.abspath(__file__))
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class NoSupervisor(SystemExit):
    """Ends a program that was started by hand, with one line."""


class SecondWorker(RuntimeError):
    """Two Workers in one program, and nobody has said which one is meant."""


class Program:
    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.stopping = False
        self.selects = False  # a Worker is selected by name: many may be made
        self.selected: Any = None
        self.workers: List[Tuple[Any, str]] = []
        self.ran = False  # some Worker's main() has begun
        self._runner: Optional[threading.Thread] = None  # the thread it is in
        self.is_ready = False
        self._has_ended = False  # the channel is closed for what we say
        self._session: Any = None
        self._lock = threading.Lock()

    # Workers ---------------------------------------------------------------

    def add_worker(self, worker: Any) -> None:
        line = _line_outside()
        if self.workers and not self.selects:
            raise SecondWorker(
                f"{line} makes a second Worker, the first is made at "
                f"{self.workers[0][1]}; a program has one, or \"app\" says "
                "which one is meant")
        self.workers.append((worker, line))

    def claim(self, worker: Any) -> None:
        """The Worker's main() begins."""
        if self.selects and worker is not self.selected:
            raise SecondWorker("this Worker is not the one that was selected")
        if self._session is not None:
            raise RuntimeError("the Worker's main() is running already")
        if self.is_ready and not self.stopping:
            raise RuntimeError("the Worker's main() has ended in this process, "
                               "and cannot begin again")
        self.ran = True
        self._runner = threading.current_thread()

    def wait_for_worker(self) -> None:
        """The program has ended, but for the thread that its Worker runs in:
        as Python does at its end."""
        runner = self._runner
        if runner is not None and not runner.daemon and \
                runner is not threading.current_thread():
            runner.join()

    # The reader ------------------------------------------------------------

    def start_reading(self) -> None:
        threading.Thread(target=self._read, name="avtoworker-channel",
                         daemon=True).start()

    def _read(self) -> None:
        try:
            while True:
                frame = self.channel.receive()
                if frame is None:
                    break
                self._take(frame)
        except Exception as e:
            _last_words(f"the supervisor sent {e}")
            if not isinstance(e, _channel.ProtocolError):
                traceback.print_exc()
        if not self.stopping:
            os._exit(os.EX_PROTOCOL)  # there is nobody to work for

    def _take(self, frame: Frame) -> None:
        with self._lock:
            session = self._session
            if frame.kind == _channel.STOP:
                self.stopping = True
                if session is not None:
                    session.stop()
                return
        if frame.kind not in (_channel.TASK, _channel.CANCEL, _channel.SPEAK,
                              _channel.COMMAND):
            raise _channel.ProtocolError(f"a frame of type {frame.kind}")
        if session is None:
            return  # we are leaving; a task not started goes to another child
        session.take(frame)

    def attach(self, session: Any) -> bool:
        """From now on frames go to it. False when we are to leave already."""
        with self._lock:
            self._session = session
            return not self.stopping

    def detach(self) -> None:
        """Its main() ends. Unless the supervisor has said so, the process
        does, too; but code behind main(), or a thread, may keep it, and the
        supervisor would give it tasks."""
        with self._lock:
            self._session = None
            if self.stopping:
                return
        timer = threading.Timer(LINGERS, self._end)
        timer.daemon = True
        timer.start()

    def _end(self) -> None:
        if not self.stopping:
            self.log("warning", "avtomatika_worker.worker",
                     "worker.main() has ended, but not the script: this child "
                     "takes no more tasks, and has 15 s to end")
            self._has_ended = True
            self.channel.end()

    @property
    def session(self) -> Any:
        return self._session

    # What is said ----------------------------------------------------------

    def say_ready(self, offer: Dict[str, Any]) -> None:
        self.is_ready = True
        self.channel.send(_channel.READY, offer)

    def say_failed(self, why: str) -> None:
        """That this child cannot start; nothing once it has."""
        if not self.is_ready:
            self.is_ready = True
            self.channel.send(_channel.READY,
                              {"version": _channel.VERSION,
                               "error": why.replace("\0", "?")[:4096]})

    def log(self, level: str, name: str, message: str, lease: int = 0) -> None:
        if self._has_ended:
            _last_words(message)
            return
        self.channel.send(_channel.LOG,
                          {"level": level, "name": name, "message": message},
                          lease)


def _line_outside() -> str:
    """FILE:LINE of the nearest caller that is not in this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and \
            os.path.dirname(frame.f_code.co_filename) == HERE:
        frame = frame.f_back
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


def trace_outside(error: BaseException) -> Any:
    """Its traceback from where the script's own code begins; None when it
    never did."""
    trace = error.__traceback__
    while trace is not None and \
            os.path.dirname(trace.tb_frame.f_code.co_filename) == HERE:
        trace = trace.tb_next
    return trace


def _last_words(text: str) -> None:
    with contextlib.suppress(Exception):
        os.write(2, f"{text}\n".encode("utf-8", "replace"))


_program: Optional[Program] = None
_forking = threading.local()  # .mask: of signals, before the thread forked


def current() -> Optional[Program]:
    """The program of this process; None when it has no supervisor."""
    return _program


def required() -> Program:
    if _program is None:
        name = os.path.basename(sys.argv[0] or "worker.py")
        raise NoSupervisor(
            f"there is no supervisor here; run this as: avtoworkerd {name}")
    return _program


def start() -> Optional[Program]:
    """Takes the channel that the supervisor left us, if it did. The variable
    is taken out of the environment: a process that we start has no channel."""
    global _program
    fd = os.environ.pop(ENVIRONMENT, None)
    if fd is None:
        return None
    _program = Program(Channel(int(fd)))
    _ignore_stops()
    os.register_at_fork(after_in_child=_after_fork)
    os.register_at_fork(before=_block_stops, after_in_parent=_unblock,
                        after_in_child=_unblock)  # behind the one above
    return _program


def _nothing(_signal: int, _frame: Any) -> None:
    """Terminals and platforms signal everybody; our end is the supervisor's
    to say. Not SIG_IGN, which programs that we start would inherit."""


def _ignore_stops() -> None:
    for number in _STOPS:
        if signal.getsignal(number) in (signal.SIG_DFL,
                                        signal.default_int_handler):
            signal.signal(number, _nothing)


def _block_stops() -> None:
    """What is sent to the new process before _after_fork() waits for it;
    ours would swallow it."""
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _after_fork() -> None:
    global _program
    program, _program = _program, None
    if program is None:
        return
    program.channel.leave_to_parent()
    for number in _STOPS:
        if signal.getsignal(number) is _nothing:
            with contextlib.suppress(ValueError):
                signal.signal(number, signal.default_int_handler
                              if number == signal.SIGINT else signal.SIG_DFL)
