# SPDX-License-Identifier: ISC
"""What of the package avtomatika_worker is public, as JSON on stdout. Run by
an interpreter that has the SDK, and by one that has ours first on its path.

    {"Worker.task": {"in": [modules], "what": [kind, ...]}}

A name is public when it does not begin with "_" and a module of the package
defines it, or has it from rxon, the SDK's other half. What it has from
elsewhere is not its own.
"""
import ast
import importlib
import inspect
import json
import pkgutil
import sys

sys.dont_write_bytecode = True
PACKAGE = "avtomatika_worker"
OWN = (PACKAGE, "rxon")
SCOPES = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def is_own(path, level=0):
    return level > 0 or str(path).split(".")[0] in OWN


def statements(body):
    """Of a module's own level, whatever they depend on."""
    for node in body:
        yield node
        for part in ("body", "orelse", "handlers", "finalbody"):
            if not isinstance(node, SCOPES):
                yield from statements(getattr(node, part, ()))


def own_names(module):
    """What its text defines, or imports from its own two packages. What
    stands in for a package that is not there is not its own."""
    found, foreign = set(), set()
    for node in statements(ast.parse(inspect.getsource(module)).body):
        if isinstance(node, ast.ImportFrom):
            (found if is_own(node.module, node.level) else foreign).update(
                x.asname or x.name for x in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = getattr(node, "targets", None) or [node.target]
            found.update(x.id for x in targets if isinstance(x, ast.Name))
        elif isinstance(node, SCOPES):
            found.add(node.name)
    found -= foreign
    found.update(getattr(module, "__all__", ()))
    return {x for x in found if not x.startswith("_") or x == "__version__"}


def parameters(function, skip=0):
    """[[name, kind, may be left out]]; None when it cannot be told."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return [[p.name, p.kind.name, p.default is not p.empty]
            for p in list(found)[skip:]]


def is_awaited(function):
    function = inspect.unwrap(function)
    return inspect.iscoroutinefunction(function) or \
        inspect.isasyncgenfunction(function)


def members(kind):
    """Of a class, without those that it has from a class of others; and what
    a WorkerConfig has once it is made."""
    for name in dir(kind):
        owner = next((c for c in kind.__mro__ if name in vars(c)), object)
        if name.startswith("_") or not is_own(owner.__module__):
            continue
        value = inspect.getattr_static(kind, name)
        if inspect.isfunction(value):
            yield name, ["method", parameters(value, 1), is_awaited(value)]
        else:
            yield name, ["attribute"]
    for name in getattr(kind, "__dataclass_fields__", ()):
        yield name, ["attribute"]
    if kind.__name__ == "WorkerConfig":
        for name in vars(kind()):
            if not name.startswith("_"):
                yield name, ["attribute"]


def of_module(module):
    for name in own_names(module):
        value = getattr(module, name, None)
        if inspect.isclass(value):
            yield name, ["class", parameters(value)]
            if is_own(value.__module__):
                for member, what in members(value):
                    yield f"{name}.{member}", what
        elif inspect.isfunction(value):
            yield name, ["function", parameters(value), is_awaited(value)]
        elif isinstance(value, str) and name != "__version__":
            yield name, ["constant", value]
        elif name.isupper() or name == "__version__" or \
                name in getattr(module, "__all__", ()):
            yield name, ["constant"]


def main():
    found = {}
    package = importlib.import_module(PACKAGE)
    for module in [PACKAGE] + [
            f"{PACKAGE}.{x.name}" for x in
            pkgutil.iter_modules(package.__path__) if x.name[0] != "_"]:
        for name, what in of_module(importlib.import_module(module)):
            entry = found.setdefault(name, {"in": [], "what": what})
            entry["in"] = sorted({*entry["in"], module})
    print(json.dumps(found))


main()
