#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""That docs/conformance.md is true as far as a program can tell: the tests
that it names exist, every rule of the suite is in it, and so is each surprise
and each line of the checklist."""
import ast
import collections
import glob
import os
import re
import sys

sys.dont_write_bytecode = True

TOP = os.environ.get("top_srcdir", ".")
SURPRISES = 22
CHECKLIST = 9
MARKS = ("case", "rule")  # what makes a case of a function, in Python
OWN = "the orchestrator's own: "  # in place of a test, with the reason


def read(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as f:
        return f.read()


def python_cases(text):
    """The first argument of each @case and @rule, as it is written."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and \
                isinstance(node.func, ast.Name) and node.func.id in MARKS \
                and node.args and isinstance(node.args[0], ast.Constant):
            yield node.args[0].value


def cases():
    """{program: its cases}; a unit test may have the name of another one."""
    found = collections.defaultdict(set)
    for path in glob.glob(os.path.join(TOP, "tests", "*", "*.py")):
        found[os.path.basename(path)[:-3]].update(python_cases(read(path)))
    for path in glob.glob(os.path.join(TOP, "tests", "unit", "test_*.c")):
        found[os.path.basename(path)[:-2]].update(
            re.findall(r'^\t\{ "([^"]+)",', read(path), re.M))
    return found


def rows(text, heading):
    """Cells of the tables below a heading of second order."""
    part = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [x for x in part.splitlines() if x.startswith("| ")]
    return [[cell.strip() for cell in x.strip("| ").split(" | ")]
            for x in lines if not x.startswith("| ---")]


def named(cell):
    """(program, case) of a cell, or None."""
    found = re.fullmatch(r"`(\w+)`: (.+)", cell)
    return found and (found.group(1), found.group(2))


def missing_tests(table, known):
    for row in table:
        test = named(row[-1])
        if test is None:
            if row[-1] not in ("test", "answered by") and \
                    not row[-1].startswith(OWN):
                yield f"no test in: {row}"
        elif test[1] not in known.get(test[0], ()):
            yield f"no case of {test[0]}: {test[1]}"


def report(number, text, complaints):
    complaints = list(complaints)
    print(f"{'not ok' if complaints else 'ok'} {number} - {text}")
    for line in complaints:
        print(f"# {line}")
    return not complaints


def main():
    text = read("docs", "conformance.md")
    known = cases()
    rules, surprises, checklist = (
        rows(text, x) for x in ("Rules", "Surprises", "Checklist"))
    table = rules + surprises + checklist
    told = {named(row[-1]) for row in table}
    suite = [(program, case) for program in known
             if program.startswith("conform_") for case in known[program]]
    numbers = [f"S{i}" for i in range(1, SURPRISES + 1)]
    explained = [row[0] for row in
                 rows(read("docs", "wire.md"),
                      "8. Where orchestrators surprise")]
    sys.path.insert(0, os.path.join(TOP, "tests", "integration"))
    from differences import DIFFERENCES  # pylint: disable=C0415
    told_differences = [tuple(row) for row in
                        rows(text, "Beside the Python SDK")[1:]]
    differences = [(dialect, *row) for dialect, its in DIFFERENCES.items()
                   for row in its]
    print("1..6")
    good = [
        report(1, "every test that is named exists",
               missing_tests(table, known)),
        report(2, "every rule of the suite is named",
               (f"not in the table: {x}" for x in suite if x not in told)),
        report(3, "every surprise has an answer",
               (f"no row for {x}" for x in numbers
                if x not in [row[0] for row in surprises])),
        report(4, "every surprise is explained in docs/wire.md",
               (f"no row for {x}" for x in numbers if x not in explained)),
        report(5, "every line of the checklist has a test",
               (f"no row for line {i}" for i in range(1, CHECKLIST + 1)
                if str(i) not in [row[0] for row in checklist])),
        report(6, "the differences from the Python SDK are those of the test",
               (f"in one place only: {x}" for x in
                set(told_differences) ^ set(differences))),
    ]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
