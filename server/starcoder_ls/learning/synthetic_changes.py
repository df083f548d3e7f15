"""Changes of a function that a program makes, of kinds that users ask for: a rename, an argument, a literal, ...

A change is either made to right code (``leads_to`` is False: the code is as before) or undone in it (True: the code is
what the edit leads to), so that a fix ends in code that a person wrote.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starcoder_ls.learning.python_functions import PythonFunction, Replacement

_MAX_SHOWN_CHARS = 48
_LOCAL_NAME = re.compile(r"[a-z][a-z_]{2,19}")
_WORD = re.compile(r"[A-Za-z][A-Za-z_-]{2,19}")
_NEW_ARGUMENTS = (
    "timeout=30", "timeout=None", "verbose=False", "strict=True", 'encoding="utf-8"', "default=None", "retries=3",
    "force=False", "limit=100", "copy=False", 'mode="r"', "check=True", "quiet=True", "depth=0", 'prefix=""',
    "cache=True", "debug=False", "max_size=1024", "recursive=False", "ignore_errors=True", "sort=True", "key=None",
)  # fmt: skip
_TYPES = ("int", "str", "bool", "float", "bytes", "list", "dict", "object", "str | None", "int | None")


@dataclass(frozen=True, slots=True)
class Change:
    """``leads_to``: the replacements undo the edit, so that the file as it is is the result."""

    subject: str
    replacements: Sequence[Replacement]
    leads_to: bool = False


Maker = Callable[[PythonFunction, random.Random], Change | None]
"""A change of a kind; None if the function has nothing for it."""


def rename_variable(function: PythonFunction, rng: random.Random) -> Change | None:
    """A parameter or local variable gets another name, at all its occurrences."""
    if any(isinstance(node, ast.Global | ast.Nonlocal) for node in ast.walk(function.node)):
        return None
    bound = {node.id for node in function.walk() if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {each.arg for each in function.parameters}
    old = _choose(rng, sorted(name for name in bound if not function.has_formatted(name)))
    new = _unused_name(function, rng)
    if old is None or new is None or any(node.arg == old for node in _keywords(function)):
        return None
    starts = [
        function.file.start_of(node)
        for node in function.walk()
        if (isinstance(node, ast.Name) and node.id == old) or (isinstance(node, ast.arg) and node.arg == old)
    ]
    if len(starts) < 2:
        return None
    subject = rng.choice((f"Rename {old} to {new}", f"Rename {old} to {new} in {function.name}"))
    return Change(subject, [(start, start + len(old), new) for start in starts])


def replace_name(function: PythonFunction, rng: random.Random) -> Change | None:
    """Another function or method is called wherever one is called."""
    calls: dict[str, list[int]] = {}
    for node in function.walk():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            calls.setdefault(name, []).append(function.file.end_of(node.func) - len(name))
    old, new = _choose(rng, sorted(calls)), _unused_name(function, rng)
    if old is None or new is None:
        return None
    subject = rng.choice((f"Use {new} instead of {old}", f"Call {new} instead of {old} in {function.name}"))
    return Change(subject, [(start, start + len(old), new) for start in calls[old]])


def add_parameter(function: PythonFunction, rng: random.Random) -> Change | None:
    """A parameter with a default at the end of the signature; calls of the function in it pass it on."""
    arguments, argument = function.node.args, rng.choice(_NEW_ARGUMENTS)
    name = argument.partition("=")[0]
    last = [*arguments.posonlyargs, *arguments.args]
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or not last or name in function.names():
        return None
    ends = [*map(function.file.end_of, last), *map(function.file.end_of, arguments.defaults)]
    end = max(ends)
    own_calls = [
        node for node in function.walk()
        if isinstance(node, ast.Call) and _called_name(node) == function.name and node.args
    ]  # fmt: skip
    passed = [
        (_end_of_arguments(function, call), _end_of_arguments(function, call), f", {name}={name}") for call in own_calls
    ]
    subject = rng.choice((f"Add parameter {argument} to {function.name}", f"Add {argument} to the parameters"))
    return Change(subject, [(end, end, f", {argument}"), *passed])


def pass_argument(function: PythonFunction, rng: random.Random) -> Change | None:
    """A keyword argument is added to all calls of one function."""
    calls: dict[str, list[ast.Call]] = {}
    for node in function.walk():
        if isinstance(node, ast.Call) and node.args and not isinstance(node.args[-1], ast.GeneratorExp):
            calls.setdefault(_called_name(node), []).append(node)
    callee, argument = _choose(rng, sorted(filter(None, calls))), rng.choice(_NEW_ARGUMENTS)
    name = argument.partition("=")[0]
    if callee is None or any(keyword.arg in (name, None) for call in calls[callee] for keyword in call.keywords):
        return None
    ends = [_end_of_arguments(function, call) for call in calls[callee]]
    return Change(f"Pass {argument} to {callee}", [(end, end, f", {argument}") for end in ends])


def change_default(function: PythonFunction, rng: random.Random) -> Change | None:
    """Another default of a parameter."""
    arguments = function.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = list(zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True))
    constants = [(each, default) for each, default in pairs if isinstance(default, ast.Constant)]
    if not constants:
        return None
    parameter, default = rng.choice(constants)
    new = _other_literal(default.value, rng)
    if new is None:
        return None
    subject = rng.choice((f"Change the default of {parameter.arg} to {new}", f"Make {parameter.arg} {new} by default"))
    return Change(subject, [(function.file.start_of(default), function.file.end_of(default), new)])


def change_literal(function: PythonFunction, rng: random.Random) -> Change | None:
    """A number or a short string becomes another one."""
    nodes = (node for node in function.walk() if isinstance(node, ast.Constant))
    found = [node for node in nodes if _is_plain_literal(function, node)]
    if not found:
        return None
    node = rng.choice(found)
    old, new = function.file.source_of(node), _other_literal(node.value, rng)
    if new is None or sum(function.file.source_of(each) == old for each in found) > 1:
        return None
    subject = rng.choice((f"Change {old} to {new}", f"Use {new} instead of {old}", f"Replace {old} by {new}"))
    return Change(subject, [(function.file.start_of(node), function.file.end_of(node), new)])


def annotate(function: PythonFunction, rng: random.Random) -> Change | None:
    """A type for a parameter that has none."""
    arguments = function.node.args
    with_default = {id(each) for each in arguments.args[len(arguments.args) - len(arguments.defaults) :]}
    plain = [
        each for each in arguments.args
        if each.annotation is None and each.arg not in ("self", "cls") and id(each) not in with_default
    ]  # fmt: skip
    if not plain:
        return None
    parameter, type_ = rng.choice(plain), rng.choice(_TYPES)
    end = function.file.end_of(parameter)
    subject = rng.choice(
        (f"Annotate {parameter.arg} as {type_}", f"{function.name}: {parameter.arg} is of type {type_}")
    )
    return Change(subject, [(end, end, f": {type_}")])


def _choose(rng: random.Random, names: Sequence[str]) -> str | None:
    usable = [name for name in names if len(name) > 1 and not name.startswith("__")]
    return rng.choice(usable) if usable else None


def _unused_name(function: PythonFunction, rng: random.Random) -> str | None:
    """A name of another function of the file, so that it fits the domain."""
    own = function.names()
    names = [name for name in function.file.names if name not in own and _LOCAL_NAME.fullmatch(name)]
    return rng.choice(names) if names else None


def _keywords(function: PythonFunction) -> list[ast.keyword]:
    return [node for node in ast.walk(function.node) if isinstance(node, ast.keyword)]


def _called_name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _end_of_arguments(function: PythonFunction, call: ast.Call) -> int:
    return max(function.file.end_of(each) for each in (*call.args, *(keyword.value for keyword in call.keywords)))


def _is_plain_literal(function: PythonFunction, node: ast.Constant) -> bool:
    """A number, or a string of one word in quotes without prefix."""
    text = function.file.source_of(node)
    if isinstance(node.value, str):
        return _WORD.fullmatch(node.value) is not None and text[1:-1] == node.value
    return type(node.value) in (int, float) and text == repr(node.value)


def _other_literal(value: object, rng: random.Random) -> str | None:
    if isinstance(value, bool):
        return str(not value)
    if value is None:
        return rng.choice(("False", "0", '""', "()"))
    if isinstance(value, int):
        return str(
            rng.choice([number for number in (2, 3, 4, 5, 8, 10, 16, 20, 50, 64, 100, 128, 512) if number != value])
        )
    if isinstance(value, float):
        return repr(rng.choice([number for number in (0.1, 0.25, 0.5, 2.0, 5.0, 10.0) if number != value]))
    if isinstance(value, str) and value:
        return rng.choice(
            [f'"{word}"' for word in ("name", "value", "path", "mode", "left", "all", "json") if word != value]
        )
    return None


CHANGES: Mapping[str, Maker] = {
    "rename": rename_variable,
    "replaced call": replace_name,
    "added parameter": add_parameter,
    "added argument": pass_argument,
    "changed default": change_default,
    "changed literal": change_literal,
    "annotation": annotate,
}
"""The kinds that change right code. ``synthetic_fixes`` has those that lead to it."""
