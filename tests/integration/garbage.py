# SPDX-License-Identifier: ISC
"""Replies that are none, made by the hundred from a seed: whatever can be wrong
with a status line, with headers, with the length of a body, and with the body.
None of them is an answer that counts: no task in them may be run, and no result
is taken by them.
"""
import random

TASK = (b'{"job_id": "job-never-%d", "task_id": "never-%d", "type": "echo", '
        b'"params": {"text": "\xd1\x91"}}')
# Nothing here begins with a brace: a 200 with an object takes a result. The task
# is only where it is not the whole body of a 200.
BODIES = (
    b"", b"[]", b"[1, 2]", b"true", b"17", b'"ok"', b"nul", b"<html></html>",
    b"\xef\xbb\xbf[]", b"\xff\xfe[\x00]\x00", b"\x00" * 40, b"[" * 3000,
    b"[" + b"1," * 500, b"Infinity", b"\x1b[2J\x07\r\n\r\n", b"%s%n" * 50,
    b"\xf0\x9f\x92", b"-", b"x" * 70000, b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
)
LINES = (
    b"HTTP/1.1 099 Low", b"HTTP/1.1 999 High", b"HTTP/1.1 20 Short",
    b"HTTP/1.1 2000 Long", b"HTTP/1.1 -200 OK", b"HTTP/1.1 abc OK",
    b"HTTP/1.1  200 OK", b"HTTP/1.1 200", b"HTTP/1.1\t200\tOK",
    b"HTTP/9.9 200 OK", b"HTTP/2 200", b"HTTP/3 200", b"HTTP/1.0 200 OK",
    b"HTTP/11 200 OK", b"http/1.1 200 ok", b"HTTP/1.1", b"HTTP", b"ICY 200 OK",
    b"RTSP/1.0 200 OK", b"GET / HTTP/1.1", b"\x16\x03\x01\x02\x00\x01",
    b"PRI * HTTP/2.0\r\n\r\nSM", b"\x00HTTP/1.1 200 OK", b" HTTP/1.1 200 OK",
    b"HTTP/1.1 200 " + b"y" * 100000, b"HTTP/1.1 200 \x00\x07", b"",
)
LENGTHS = (
    b"-1", b"+2", b"0x2", b"2,3", b"2 3", b"", b" ", b"two", b"1e1", b"2;x",
    b"18446744073709551616", b"9223372036854775807", b"99999999999999999999",
    b"\x00", b"2\x00",
)
CHUNKS = (
    b"zz\r\n%s\r\n0\r\n\r\n", b"-1\r\n%s\r\n0\r\n\r\n", b"\r\n%s\r\n0\r\n\r\n",
    b"ffffffffffffffffff\r\n%s\r\n0\r\n\r\n", b"7fffffffffffffff\r\n%s",
    b"2\r\n%s\r\n0\r\n\r\n", b"1\n%s\n0\n\n", b"1 \r\n%s", b"0x10\r\n%s",
    b"10;" + b"x" * 20000 + b"\r\n%s", b"fffff\r\n%s\r\n",
    b"1\r\n[XX%s\r\n0\r\n\r\n", b"%s",
)
HEADERS = (
    b"No colon here", b": no name", b"X" * 70000 + b": y", b"X: " + b"y" * 70000,
    b"X-Nul: a\x00b", b"X-Bell: \x07\x1b[31m", b"\xff\xfe: \xfd", b"X-Cr: a\rb",
    b" folded: yes", b"\tfolded", b"Content-Encoding: gzip",
    b"Content-Encoding: br, gzip, deflate", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: \x0bchunked", b"Connection: \xff", b"Upgrade: h2c",
    b"Connection: Upgrade, keep-alive, close", b"Set-Cookie: " + b"a=b; " * 9000,
    b"Retry-After: -99999999999999999999", b"Date: \x00", b"Date: 31 Feb 2999",
    b"Location: file:///etc/passwd", b"Alt-Svc: h3=\":1\"", b"Trailer: X",
    b"X-RXON-Version: " + b"9." * 900, b"WWW-Authenticate: Negotiate",
    b"Strict-Transport-Security: max-age=31536000",
)
FEW = (
    b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
)
WRONG = (302, 400, 401, 403, 404, 405, 409, 413, 415, 500, 501, 502, 503, 511)


class Garbage:
    """One reply: its bytes, and whether the connection is kept after it."""

    def __init__(self, rng, number):
        self.rng = rng
        self.task = TASK % (number, number)
        self.kept = False
        self.data = getattr(self, rng.choice(self.KINDS))()

    def body(self):
        return self.rng.choice(BODIES)

    def reply(self, body, line=b"HTTP/1.1 200 OK", headers=(), length=None):
        """One that is whole but for what is given."""
        lines = [line, b"Content-Type: application/json", *headers]
        if length is None:
            length = b"%d" % len(body)
        if length is not False:
            lines.append(b"Content-Length: " + length)
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    # What is wrong.

    def bad_body(self):
        self.kept = self.rng.random() < 0.5
        return self.reply(self.body())

    def bad_line(self):
        return self.reply(self.body(), self.rng.choice(LINES))

    def bad_length(self):
        return self.reply(self.body(), length=self.rng.choice(LENGTHS))

    def cut(self):
        more = self.rng.choice((1, 500, 1 << 20, 1 << 40))
        length = b"%d" % (len(self.task) + more)
        return self.reply(self.task, length=length)

    def two_lengths(self):
        twice = b"Content-Length: %d" % (len(self.task) + self.rng.choice(
            (-1, 1, 100)))
        return self.reply(self.task, headers=(twice,))

    def bad_chunks(self):
        body = self.rng.choice(CHUNKS).replace(b"%s", self.task)
        return self.reply(body, length=False,
                          headers=(b"Transfer-Encoding: chunked",))

    def no_last_chunk(self):
        body = b"%x\r\n%s\r\n" % (len(self.task), self.task)
        return self.reply(body, length=False,
                          headers=(b"Transfer-Encoding: chunked",))

    def odd_headers(self):
        few = self.rng.randrange(1, 4)
        headers = [self.rng.choice(HEADERS) for _ in range(few)]
        return self.reply(self.body(), headers=headers)

    def many_headers(self):
        headers = [b"X-%d: y" % i for i in range(self.rng.choice((200, 9000)))]
        return self.reply(self.body(), headers=headers)

    def wrong_status(self):
        line = b"HTTP/1.1 %d Wrong" % self.rng.choice(WRONG)
        return self.reply(self.rng.choice((self.task, self.body())), line)

    def nothing_with_body(self):
        # These have no body, whatever follows.
        self.kept = self.rng.random() < 0.5
        line = self.rng.choice((b"HTTP/1.1 204 No Content",
                                b"HTTP/1.1 304 Not Modified"))
        return self.reply(self.task, line)

    def more_behind(self):
        # The end of what was asked for, and then more of what was not.
        self.kept = True
        more = self.rng.choice((self.reply(self.task), self.task, b"\0" * 9))
        return self.reply(b"[]") + more

    def interim(self):
        few = self.rng.randrange(1, 50)
        replies = b"".join(self.rng.choice(FEW[:3]) for _ in range(few))
        return replies + self.rng.choice((b"", self.task, FEW[3]))

    def no_http(self):
        return self.rng.choice((self.task, b"", b"\r\n" * 100, b"\0" * 5000,
                                self.rng.randbytes(3000)))

    def mutation(self):
        data = bytearray(self.reply(self.body()))
        for _ in range(self.rng.randrange(1, 8)):
            at = self.rng.randrange(min(len(data), 200))
            byte = self.rng.randrange(256)
            if self.rng.random() < 0.5:
                data[at] = byte
            else:
                data.insert(at, byte)
        return bytes(data).replace(b"{", b"[")

    def torn(self):
        data = self.reply(self.task)
        at = self.rng.randrange(len(data))
        return data[:at]

    KINDS = ("bad_body", "bad_line", "bad_length", "cut", "two_lengths",
             "bad_chunks", "no_last_chunk", "odd_headers", "many_headers",
             "wrong_status", "nothing_with_body", "more_behind", "interim",
             "no_http", "mutation", "torn")


def corpus(seed, count):
    """So many, the same for the same seed."""
    rng = random.Random(seed)
    return [Garbage(rng, i) for i in range(count)]
