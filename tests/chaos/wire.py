#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The net between the worker and its orchestrator: hands bytes on, in both
directions, and does what lines on its standard input say:

    cut SHARE      so many of the connections are reset, in mid-word
    stall SECONDS  nothing is handed on for so long
    down SECONDS   connections are refused, and those that there are reset
"""
import asyncio
import random
import socket
import struct
import sys

CHUNK = 65536


class Wire:
    def __init__(self, target):
        self.target = target
        self.ends = []  # pairs of writers
        self.open = asyncio.Event()  # not during a stall
        self.open.set()
        self.is_down = False

    async def pump(self, reader, writer):
        try:
            while data := await reader.read(CHUNK):
                await self.open.wait()
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:
            pass

    async def accept(self, reader, writer):
        try:
            if self.is_down:
                raise ConnectionError
            far_reader, far = await asyncio.open_connection(
                "127.0.0.1", self.target)
        except OSError:
            reset(writer)
            return
        pair = (writer, far)
        self.ends.append(pair)
        await asyncio.gather(self.pump(reader, far),
                             self.pump(far_reader, writer))
        self.ends.remove(pair)
        for end in pair:
            end.close()

    def cut(self, share):
        for pair in list(self.ends):
            if random.random() < share:
                for end in pair:
                    reset(end)

    async def obey(self, word, number):
        if word == "cut":
            self.cut(number)
        elif word == "stall":
            self.open.clear()
            await asyncio.sleep(number)
            self.open.set()
        elif word == "down":
            self.is_down = True
            self.cut(1)
            await asyncio.sleep(number)
            self.is_down = False


def reset(writer):
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() != -1:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack("ii", 1, 0))
    writer.transport.abort()


async def main(target):
    loop = asyncio.get_running_loop()
    wire = Wire(target)
    server = await asyncio.start_server(
        wire.accept, "127.0.0.1", 0, backlog=200)
    print(server.sockets[0].getsockname()[1], flush=True)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    running = set()
    while line := await orders.readline():
        word, number = line.decode().split()
        task = asyncio.create_task(wire.obey(word, float(number)))
        running.add(task)
        task.add_done_callback(running.discard)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
