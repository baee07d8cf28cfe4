# SPDX-License-Identifier: ISC
"""python -m avtomatika_worker run --app MODULE:NAME, as the SDK has it."""
import argparse
import sys


def main() -> int:
    parser = argparse.ArgumentParser(prog="avtomatika_worker")
    commands = parser.add_subparsers(dest="command")
    run = commands.add_parser("run")
    run.add_argument("--app", required=True)
    run.add_argument("--health-check", action="store_true")
    run.add_argument("--reload", action="store_true")
    options = parser.parse_args()
    app = getattr(options, "app", "MODULE:NAME")
    print(f"there is no supervisor here; run this as: avtoworkerd {app}",
          file=sys.stderr)
    return 64


if __name__ == "__main__":
    sys.exit(main())
