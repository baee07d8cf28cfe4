# SPDX-License-Identifier: ISC
"""What the examples of the guide talk to: a PostgreSQL of our own, and an HTTP
server that gives recorded answers and remembers what it was asked.
"""
import glob
import http.server
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import urllib.parse

USERS = """CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL,
    email text NOT NULL UNIQUE, score double precision,
    active boolean NOT NULL DEFAULT true)"""


class Missing(Exception):
    """It cannot be had here; says why."""


class Recorded:
    """An HTTP server on a free port: answers maps paths to (status, body)."""

    def __init__(self, answers):
        recorded = self
        self.asked = []  # (path, {name: [value]})

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                recorded.asked.append(
                    (url.path, urllib.parse.parse_qs(url.query)))
                status, body = answers.get(url.path, (404, "not recorded"))
                data = body.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def bin_directory():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    if found:
        return os.path.dirname(found[-1])
    found = shutil.which("initdb")
    if not found:
        raise Missing("no PostgreSQL server here; on Debian: "
                      "apt-get install postgresql")
    return os.path.dirname(found)


class Postgres:
    """A cluster in a directory of its own, on a Unix socket alone."""

    def __init__(self):
        self.bin = bin_directory()
        self.directory = tempfile.mkdtemp(prefix="aw-pg-")
        self.user = None
        if os.geteuid() == 0:  # it refuses to run as root
            self.user = pwd.getpwnam("postgres")
            os.chown(self.directory, self.user.pw_uid, self.user.pw_gid)
        self.data = os.path.join(self.directory, "data")
        self.url = ("postgresql:///postgres?user=test&host="
                    + urllib.parse.quote(self.directory, safe=""))
        self.run("initdb", "-D", self.data, "-U", "test", "-A", "trust",
                 "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()
        self.sql(USERS)

    def run(self, program, *args):
        # No code of ours between fork and exec: other threads may hold locks.
        who = {"user": self.user.pw_uid, "group": self.user.pw_gid} \
            if self.user else {}
        done = subprocess.run(
            [os.path.join(self.bin, program), *args], capture_output=True,
            text=True, check=False, cwd=self.directory, **who)
        if done.returncode != 0:
            raise AssertionError("%s: %s%s" % (program, done.stdout,
                                               done.stderr))
        return done.stdout

    def control(self, *args):
        """pg_ctl, which waits until it is so."""
        self.run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-l",
                 os.path.join(self.directory, "log"), *args)

    def start(self):
        self.control("-o", "-k %s -c listen_addresses= -c fsync=off"
                     % self.directory, "start")

    def stop(self):
        self.control("-m", "fast", "stop")

    def sql(self, text):
        return self.run("psql", "-h", self.directory, "-U", "test", "-d",
                        "postgres", "-v", "ON_ERROR_STOP=1", "-Atc", text)

    def remove(self):
        try:
            self.control("-m", "immediate", "stop")
        except AssertionError:
            pass  # it is stopped
        shutil.rmtree(self.directory, ignore_errors=True)


def silent_port():
    """A socket that has a port and does not listen, so nobody else does."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    return s
