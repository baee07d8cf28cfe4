#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""HTTPS: certificates that are right, and every kind that is wrong. The CAs
and certificates are made for each case by openssl(1)."""
import os
import socket
import ssl
import struct
import sys
import threading
import warnings

sys.dont_write_bytecode = True

from certificates import Shop  # noqa: E402
from fake_orchestrator import Fake, raw, task  # noqa: E402
from harness import LIMIT, TOKEN, case, check, eventually, main, \
    same  # noqa: E402

COMPLAINT = r" - (WARNING|ERROR) - "


class Secure(Fake):
    """An orchestrator of straw behind TLS."""

    def __init__(self, pair, client_ca=None, **more):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # A session that is resumed is not verified anew.
        self.context.options |= ssl.OP_NO_TICKET
        self.context.num_tickets = 0
        self.use(pair)
        if client_ca:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(client_ca)
        super().__init__(**more)
        self.url = f"https://127.0.0.1:{self.port}"

    def use(self, pair):
        """From the next connection on."""
        key, cert = pair
        self.context.load_cert_chain(cert, key)

    def listen(self):
        server = super().listen()
        server.socket = self.context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False)
        return server


def start(t, fake, more="", **others):
    return t.worker(fake.url, light=1, heavy=1, orchestrator=f"""
    protocol = classic
    {more}""", worker="heartbeat_interval = 1s", **others)


def works(fake, name="one", limit=LIMIT):
    fake.put(task(name))
    same(fake.wait_result(name, limit)["status"], "success", "status")


def end(worker):
    worker.drain()
    check(TOKEN not in worker.log(), "the token is in the log")
    check("PRIVATE KEY" not in worker.log(), "a key is in the log")


@case("a CA that is configured is trusted: {}", "file", "directory",
      "tls_ca_path", "environment")
def trusted(t, how):
    ca = Shop(t)
    fake = Secure(ca.sign("server"))
    place = t.path("cas")
    os.mkdir(place)
    with open(ca.cert, encoding="ascii") as f:
        t.write("cas/ca.pem", f.read())
    ca.openssl("rehash", place)
    setting = {"file": f'tls_ca_file = "{ca.cert}"',
               "directory": f'tls_ca_file = "{place}"',
               "tls_ca_path": f'tls_ca_path = "{place}"',
               "environment": ""}[how]
    env = {"TLS_CA_PATH": ca.cert} if how == "environment" else {}
    worker = t.worker(fake.url, light=1, heavy=1, env=env, orchestrator=f"""
    protocol = classic
    {setting}""")
    works(fake)
    end(worker)


@case("a server that wants a client certificate gets it: {}", "two files",
      "one file", "environment")
def client_certificate(t, how):
    ca, clients = Shop(t), Shop(t, "clients")
    key, cert = clients.sign("w-1", "w-1", "DNS:w-1")
    fake = Secure(ca.sign("server"), clients.cert)
    setting, env = "", {}
    if how == "two files":
        setting = f'tls_cert = "{cert}"\n    tls_key = "{key}"'
    elif how == "one file":
        text = ""
        for path in (cert, key):
            with open(path, encoding="ascii") as f:
                text += f.read()
        setting = f'tls_cert = "{t.write("both.pem", text)}"'
    else:
        env = {"TLS_CERT_PATH": cert, "TLS_KEY_PATH": key}
    worker = t.worker(fake.url, light=1, heavy=1, env=env, orchestrator=f"""
    protocol = classic
    tls_ca_file = "{ca.cert}"
    {setting}""")
    works(fake)
    end(worker)


def wrong_ca(t, _ca):
    return Shop(t, "other").sign("server")


def wrong_host(_t, ca):
    return ca.sign("server", "elsewhere.example", "DNS:elsewhere.example")


def expired(_t, ca):
    return ca.expired("server")


def self_signed(t, _ca):
    one = Shop(t, "alone")
    return one.key, one.cert


# Name: what the server shows, and what the log must say.
WRONG = {
    "of an unknown CA": (wrong_ca, "CA that is not trusted.*tls_ca_file"),
    "for another host": (wrong_host, "for another host name"),
    "that has expired": (expired, "has expired"),
    "signed by itself": (self_signed, "signed by itself|not trusted"),
}


@case("a certificate {} is refused in one clear line, until it is mended",
      *WRONG)
def refused(t, name):
    make, words = WRONG[name]
    ca = Shop(t)
    good = ca.sign("good")
    fake = Secure(make(t, ca))
    worker = start(t, fake, f'tls_ca_file = "{ca.cert}"')
    found = worker.wait_log(f"{COMPLAINT}cannot register.*({words})")
    check(len(found[0]) < 300, f"a line of {len(found[0])} bytes")
    same(fake.requests, [], "requests in spite of it")
    fake.use(good)
    works(fake)
    end(worker)


@case("a WebSocket is opened over TLS, to nobody but whom a CA has signed")
def websocket(t):
    ca = Shop(t)
    right = ca.sign("server")
    fake = Secure(right, websocket=True)
    gate = t.gate()
    worker = start(t, fake, f'tls_ca_file = "{ca.cert}"',
                   env={"LOG_LEVEL": "DEBUG"})
    sock = fake.wait_socket()
    same(sock.request.headers["X-Worker-ID"], "w-1", "id")
    fake.put(task("slow", "slow", {"gate": gate.path}))
    gate.wait(1)
    fake.use(Shop(t, "stranger").sign("strange"))
    sock.cut()
    worker.wait_log("no WebSocket to https://.*certificate")
    same(len(fake.sockets), 1, "WebSockets")
    fake.use(right)
    fake.wait_socket(2).send({"command": "cancel_task", "task_id": "slow"})
    worker.wait_log("cancelled by the orchestrator")
    gate.open()
    same(fake.wait_result("slow")["status"], "cancelled", "status")
    end(worker)


@case("a server that speaks nothing newer than TLS 1.1 is refused, until it does")
def old_tls(t):
    ca = Shop(t)
    fake = Secure(ca.sign("server"))
    fake.context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is old is the point
        fake.context.minimum_version = ssl.TLSVersion.TLSv1
        fake.context.maximum_version = ssl.TLSVersion.TLSv1_1
    worker = start(t, fake, f'tls_ca_file = "{ca.cert}"')
    worker.wait_log(f"(?i){COMPLAINT}cannot register.*(tls|ssl|version)")
    same(fake.requests, [], "requests in spite of it")
    fake.context.maximum_version = ssl.TLSVersion.TLSv1_3
    works(fake)
    end(worker)


@case("a connection that is reset in the handshake is tried again, and nothing "
      "is ever said in the clear")
def reset_in_handshake(t):
    ca = Shop(t)
    fake = Secure(ca.sign("server"), start=False)
    heard = []

    def reset(listener):
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            heard.append(conn.recv(4096))
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
            conn.close()

    with socket.create_server(("127.0.0.1", fake.port)) as listener:
        threading.Thread(target=reset, args=(listener,), daemon=True).start()
        worker = start(t, fake, f'tls_ca_file = "{ca.cert}"')
        eventually(lambda: len(heard) >= 2, "two handshakes")
        worker.wait_log(f"{COMPLAINT}cannot register")
        listener.shutdown(socket.SHUT_RDWR)
    check(all(TOKEN.encode() not in x for x in heard), "the token in clear")
    fake.start()
    works(fake)
    end(worker)


@case("where no CA is configured only those of the system are trusted")
def default_cas(t):
    fake = Secure(Shop(t).sign("server"))
    worker = start(t, fake)
    worker.wait_log(f"{COMPLAINT}.*not trusted.*tls_ca_file")
    same(fake.requests, [], "requests")
    end(worker)


@case("without a client certificate the line says what is wanted")
def no_client_certificate(t):
    ca = Shop(t)
    fake = Secure(ca.sign("server"), Shop(t, "clients").cert)
    worker = start(t, fake, f'tls_ca_file = "{ca.cert}"')
    worker.wait_log(f"{COMPLAINT}.*client certificate.*tls_cert")
    same(fake.requests, [], "requests")
    end(worker)


@case("a client certificate of another CA is told")
def wrong_client_certificate(t):
    ca = Shop(t)
    key, cert = Shop(t, "others").sign("w-1", "w-1", "DNS:w-1")
    fake = Secure(ca.sign("server"), Shop(t, "clients").cert)
    worker = start(t, fake, f"""
    tls_ca_file = "{ca.cert}"
    tls_cert = "{cert}"
    tls_key = "{key}\"""")
    worker.wait_log(f"{COMPLAINT}.*our client certificate")
    same(fake.requests, [], "requests")
    end(worker)


def bad_start(t, setting, words, url="https://127.0.0.1:1"):
    worker = t.worker(url, orchestrator=setting)
    same(worker.wait(), 78, "exit status")
    check(worker.lines(words), f"no line with {words}: {worker.log()}")
    check("PRIVATE KEY" not in worker.log(), "a key is in the log")


@case("files that are wrong end the start")
def bad_files(t):
    ca = Shop(t)
    key, cert = ca.sign("a", "w-1")
    other, _ = ca.sign("b", "w-1")
    locked = t.path("locked.key")
    ca.openssl("ec", "-in", key, "-aes128", "-passout", "pass:x", "-out",
               locked)
    empty = t.write("empty", "")
    pair = 'tls_cert = "{}"\n    tls_key = "{}"'.format
    bad_start(t, pair(cert, other), "tls_key .*does not belong")
    bad_start(t, pair(cert, locked), "tls_key .*passphrase")
    bad_start(t, pair(cert, empty), "tls_key .*no private key")
    bad_start(t, pair(empty, key), "tls_cert .*no certificate")
    bad_start(t, pair(cert, t.path("none")), "tls_key .*No such file")
    bad_start(t, f'tls_cert = "{cert}"', "tls_cert .*no private key")
    bad_start(t, f'tls_key = "{key}"', "tls_cert is not")
    bad_start(t, f'tls_ca_file = "{empty}"', "tls_ca_file .*no certificate")
    bad_start(t, f'tls_ca_path = "{cert}"', "tls_ca_path .*no directory")


@case("a server without TLS behind https is told")
def no_tls(t):
    fake = Fake()
    worker = t.worker(fake.url.replace("http:", "https:"),
                      orchestrator="protocol = classic")
    worker.wait_log(f"{COMPLAINT}.*does not speak TLS")
    same(fake.requests, [], "requests")
    end(worker)


@case("CAs that are replaced are taken without a restart")
def renewed(t):
    old, new = Shop(t), Shop(t, "new")
    fake = Secure(old.sign("server"))
    with open(old.cert, encoding="ascii") as f:
        path = t.write("trusted.pem", f.read())
    worker = start(t, fake, f'tls_ca_file = "{path}"')
    works(fake)
    with open(new.cert, encoding="ascii") as f:
        t.write("trusted.pem", f.read())
    fake.use(new.sign("second"))
    fake.break_kind("poll", raw(b""))  # which ends connections
    worker.wait_log(f"{COMPLAINT}poll failed")
    fake.repair()
    works(fake, "two", 150)
    end(worker)


@case("TLS settings with http are told to be of no use")
def useless(t):
    fake = Fake()
    ca = Shop(t)
    worker = start(t, fake, f'tls_ca_file = "{ca.cert}"')
    worker.wait_log(f"{COMPLAINT}.*not https.*tls_ca_file")
    works(fake)
    eventually(lambda: fake.of_kind("heartbeat"), "a heartbeat")
    end(worker)


main()
