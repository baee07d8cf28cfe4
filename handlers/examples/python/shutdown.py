# SPDX-License-Identifier: ISC
"""A worker that is stopped in good order: signal handlers of its own, and code
after main() that closes what was opened.

    wait_for  params  {"file": "/tmp/go"}: ends when that file is there
              data    {}

Under avtoworkerd the signals go to the supervisor, which lets tasks end and
then ends main(); the script's own handlers serve where it runs by itself.
"""
import asyncio
import os
import signal

from avtomatika_worker import Worker

worker = Worker(worker_type="shutdown")


@worker.task("wait_for")
async def wait_for(params: dict) -> dict:
    """Looks again and again: any stop waits for it."""
    print("waiting for", params["file"])
    while not os.path.exists(params["file"]):
        await asyncio.sleep(0.01)
    return {"status": "success", "data": {}}


async def shutdown() -> None:
    """On a signal."""
    print("Shutting down gracefully...")
    await worker.stop()


async def main() -> None:
    """Opens, works, closes."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(
            number, lambda: asyncio.create_task(shutdown()))
    print("opened")
    try:
        await worker.main()
    finally:
        print("closed")


if __name__ == "__main__":
    asyncio.run(main())
