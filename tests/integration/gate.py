# SPDX-License-Identifier: ISC
"""Where handlers wait for the test."""
import selectors
import socket
import threading
import time

from claims import LIMIT, Failed


class Gate:
    """Where handlers of the zoo wait until the test lets them pass."""

    def __init__(self, path):
        self.path = path
        self.arrived = []  # (task id, pid), in order, once each
        self.is_open = False
        self.waiting = {}  # connection: (task id, pid)
        self.left = {}  # task id: when it hung up, without being let pass
        self.lock = threading.Condition()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1000)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    conn = self.listener.accept()[0]
                    self.selector.register(conn, selectors.EVENT_READ)
                else:
                    self.hear(key.fileobj)

    def hear(self, conn):
        """Either who is there, in one line, or that it is gone."""
        try:
            line = conn.recv(1000).decode()
        except OSError:
            line = ""
        with self.lock:
            if line and not self.is_open:
                who = line.split()
                self.waiting[conn] = (who[0], int(who[1]))
                self.arrived.append(self.waiting[conn])
            else:
                if line:
                    who = line.split()
                    self.arrived.append((who[0], int(who[1])))
                self.forget(conn)
            self.lock.notify_all()

    def forget(self, conn):
        who = self.waiting.pop(conn, None)
        if who and not self.is_open:
            self.left[who[0]] = time.monotonic()
        try:
            self.selector.unregister(conn)
        except (KeyError, ValueError):
            return
        conn.close()

    def wait(self, count, limit=LIMIT):
        """Until so many wait at once. Returns who: [(task id, pid)]."""
        with self.lock:
            if not self.lock.wait_for(
                    lambda: len(self.waiting) >= count, limit):
                raise Failed(f"{len(self.waiting)} tasks came to the gate "
                             f"within {limit} s, not {count}")
            return list(self.waiting.values())

    def open(self):
        """Lets everybody pass, from now on."""
        with self.lock:
            self.is_open = True
            for conn in list(self.waiting):
                conn.shutdown(socket.SHUT_RDWR)
