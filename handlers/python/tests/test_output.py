#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What scripts log and print."""
import sys

sys.dont_write_bytecode = True

from peer import RESULT, case, check, main, same  # noqa: E402

LOGS = """
    import logging, sys
    from avtomatika_worker import Worker
    {setup}
    worker = Worker()
    log = logging.getLogger("script.part")

    @worker.task("it")
    async def it(params):
        log.debug("at debug")
        log.info("at %s", "info")
        log.warning("at warning\\nin two lines", extra={{"who": "me"}})
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception("at error")
        print("printed", end="")

    worker.run()
"""
BASIC = """logging.basicConfig(level=logging.INFO,
        format="%(asctime)s - %(name)s - %(levelname)s - %(message)s")"""
OWN = """logging.basicConfig(level=logging.INFO, stream=sys.stdout,
        format="%(levelname)s by %(who)s: %(message)s")
    logging.getLogger().handlers[0].addFilter(
        lambda r: setattr(r, "who", getattr(r, "who", "nobody")) or True)"""
BOTH = BASIC + """
    logging.getLogger("script").addHandler(logging.StreamHandler())
    logging.getLogger("script").addHandler(logging.FileHandler("own.log"))"""
SDK = """from avtomatika_worker import setup_logging
    setup_logging()"""


@case("records become frames, once, however logging is set up")
def logs(t):
    for name, setup in (("nothing", ""), ("basicConfig", BASIC),
                        ("setup_logging", SDK), ("two handlers", BOTH),
                        ("own layout", OWN)):
        s = t.script(LOGS.format(setup=setup))
        s.ready()
        s.logs.clear()
        lease = s.begin("it")
        s.until(RESULT, lease)
        own = name == "own layout"
        said = [(x["level"], x["name"], x["message"]) for x in s.logs]
        same([x[:2] for x in said], [
            ("info", "script.part"), ("warning", "script.part"),
            ("error", "script.part")], name)
        same(said[0][2], "INFO by nobody: at info" if own else "at info",
             name)
        same(said[1][2], ("WARNING by me: " if own else "") +
             "at warning\nin two lines", name)
        check("ZeroDivisionError" in said[2][2], said)
        check(all(x[1] == lease for x in s.seen if x[0] == "log" and
                  x[2]["name"] == "script.part"), "leases of records")
        same(s.output(), "printed", f"{name}: what was printed")
        if setup is BOTH:
            with open(t.folder + "/own.log", encoding="utf-8") as f:
                same(f.read().count("at info"), 1, "in the script's file")
        same(s.stop(), 0, "exit status")
    s = t.script(LOGS.format(setup=""), environment={"LOG_LEVEL": "DEBUG"})
    s.ready()
    s.run("it")
    check("at debug" in s.messages("debug"), s.logs)
    same(s.stop(), 0, "exit status")


@case("dictConfig() does not keep a failure's traceback from the log")
def dict_config(t):
    s = t.script("""
        import logging.config
        from avtomatika_worker import Worker
        logging.config.dictConfig({"version": 1})
        worker = Worker()

        @worker.task("it")
        async def it(params):
            return 1 / 0

        worker.run()
    """)
    s.ready()
    s.run("it")
    check(any("ZeroDivisionError" in m and "Traceback" in m
              for m in s.messages("error")), s.logs)
    same(s.stop(), 0, "exit status")


@case("what is printed is out before the result")
def printed(t):
    s = t.script("""
        import ctypes, os, sys
        from avtomatika_worker import Worker
        worker = Worker()

        @worker.task("it")
        async def it(params):
            sys.stdout.write("out")
            sys.stderr.write("err")
            ctypes.CDLL(None).printf(b"libc")
            return {}

        @worker.task("closes")
        async def closes(params):
            os.closerange(0, 3)
            return {"data": {"closed": True}}

        worker.run()
    """)
    s.ready()
    s.run("it")
    text = s.output()
    check(all(word in text for word in ("out", "err", "libc")), text)
    same(s.run("closes")["data"], {"closed": True}, "closes descriptors")
    s.run("it")
    same(s.stop(), 120, "exit status, as python has it")


main()
