# SPDX-License-Identifier: ISC
"""Runs in the environment of a real orchestrator, for test_rxon_payloads.py:

    rxon_payloads.py SIGNER SEED COUNT

makes COUNT payloads, writes each as JSON in some of the many ways there are,
and lets SIGNER and the package rxon sign them for each other. Prints what went
wrong and ends with 1, or prints nothing.
"""
import json
import random
import struct
import subprocess
import sys

import orjson
from rxon.security import sign_payload, verify_signature

SECRET = "s3cret-ё"
UNSIGNED = ["sig", "orchestrator_signature", "_signature"]
DEPTH = 12
SPECIAL = ("", "a", "A", "é", "ё", "\u2028", "\uffff", "😀", "\x7f", "\"", "\\",
           "/", "\b", "\t", "\n", "\f", "\r", "\0", "\x1f", " ", "security")


class Maker:
    """One payload after another, all of them from one seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def text(self):
        r = self.random
        return "".join(
            r.choice(SPECIAL) if r.random() < 0.5 else
            chr(r.choice((r.randrange(0x20, 0xd800),
                          r.randrange(0xe000, 0x110000))))
            for _ in range(r.randrange(8)))

    def number(self):
        r = self.random
        kind = r.randrange(7)
        if kind == 0:
            return r.randrange(-2**63, 2**64)
        if kind == 1:
            return r.randrange(-1000, 1000)
        if kind == 2:
            return float(r.randrange(-2**53, 2**53))
        if kind == 3:
            return r.randrange(-10**6, 10**6) / 1000
        if kind == 4:
            return r.random() * 10.0 ** r.randrange(-320, 18)
        if kind == 5:
            return r.choice((0.0, -0.0, 5e-324, 2.2250738585072014e-308, 1e-5,
                             9.999999999999999e-6, 1e-7, 0.1, 1e16, 2.5e-1,
                             float(2**63), 1.7976931348623157e-300))
        while True:
            value, = struct.unpack("<d", r.randbytes(8))
            if value == value and abs(value) < 2.0**63:
                return value

    def value(self, depth):
        r = self.random
        kind = r.randrange(9 if depth < DEPTH else 6)
        if kind < 2:
            return self.number()
        if kind < 4:
            return self.text()
        if kind == 4:
            return r.choice((True, False))
        if kind == 5:
            return None
        if kind == 6:
            return [self.value(depth + 1) for _ in range(r.randrange(5))]
        return {self.text(): self.value(depth + 1)
                for _ in range(r.randrange(6))}

    def payload(self):
        r = self.random
        message = {"job_id": "j", "data": self.value(0), "n": self.number(),
                   "timestamp": r.randrange(1 << 31)}
        for _ in range(r.randrange(6)):
            message["x" + self.text()] = self.value(1)
        if r.random() < 0.3:
            message["data"] = {"security": {"signature": self.text()}}
        members = list(message.items())
        r.shuffle(members)
        return dict(members)

    def write(self, message):
        """As JSON, one of the ways to write it; on one line."""
        r = self.random
        if r.random() < 0.4:
            return orjson.dumps(message).decode()
        return json.dumps(message, ensure_ascii=r.random() < 0.5,
                          separators=r.choice(((",", ":"), (" , ", " : "))))


def ask(signer, mode, lines):
    done = subprocess.run([signer, mode, SECRET, *UNSIGNED], text=True,
                          input="".join(x + "\n" for x in lines),
                          stdout=subprocess.PIPE, check=True,
                          encoding="utf-8")
    answers = done.stdout.splitlines()
    assert len(answers) == len(lines), f"{len(answers)} answers"
    return answers


def main(signer, seed, count):
    maker = Maker(seed)
    texts = [maker.write(maker.payload()) for _ in range(count)]
    wrong = []
    # Ours, as the server finds it in the message.
    for text, signature in zip(texts, ask(signer, "sign", texts)):
        message = orjson.loads(text)
        message["security"] = {"signature": signature, "signer_id": "w-1"}
        if not verify_signature(message, signature, SECRET, UNSIGNED):
            wrong.append(f"rxon refuses {signature} of {text}")
    # Its own, on what it has written anew.
    lines = []
    for text in texts:
        message = orjson.loads(text)
        signature = sign_payload(message, SECRET, UNSIGNED)
        message["sig"] = signature
        lines.append(signature + " " + maker.write(message))
    for line, answer in zip(lines, ask(signer, "verify", lines)):
        if answer != "yes":
            wrong.append(f"{answer}: {line}")
    # And none that was changed.
    lines = [x[:-1] + ', "one more": 1}' for x in lines]
    for line, answer in zip(lines, ask(signer, "verify", lines)):
        if answer != "no":
            wrong.append(f"{answer}, but it was changed: {line}")
    for line in wrong[:10]:
        print(ascii(line[:500]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
