"""Edits that lead to code as a person wrote it: a guard is added, an error is corrected, a debug statement is removed.

The code before the edit is made by the opposite change, so that no answer but the person's own is right.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Mapping

from starcoder_ls.learning.python_functions import PythonFunction, Replacement
from starcoder_ls.learning.synthetic_changes import Change, Maker

_MAX_CONDITION_CHARS, _MAX_EXIT_CHARS = 50, 48
_OFF_BY_ONE: Mapping[type[ast.cmpop], str] = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}
_OPPOSITE: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "!=", ast.NotEq: "==", ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
_SYMBOLS: Mapping[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is",
    ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip


def add_guard(function: PythonFunction, rng: random.Random) -> Change | None:
    """An early exit that is the first statement of the function, other than for None."""
    return _add_first_guard(function, rng, is_none_check=False)


def add_none_check(function: PythonFunction, rng: random.Random) -> Change | None:
    """An early exit for None that is the first statement; made up, before the code as it is, where there is none."""
    found = _add_first_guard(function, rng, is_none_check=True)
    if found is not None or not function.parameters or not function.statements:
        return found
    first = function.statements[0]
    if isinstance(first, ast.If) or first.lineno == function.node.lineno:
        return None
    parameter, value = rng.choice(function.parameters).arg, rng.choice(("", " None", " False", " []"))
    indentation = " " * first.col_offset
    start = function.file.offset(first.lineno, 0)
    guard = f"{indentation}if {parameter} is None:\n{indentation}    return{value}\n"
    return Change(f"Return{value} if {parameter} is None", [(start, start, guard)])


def fix_off_by_one(function: PythonFunction, rng: random.Random) -> Change | None:
    """A comparison or a range that was one too long or too short."""
    changes: list[Replacement] = []
    for node in function.walk():
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _OFF_BY_ONE:
            changes += _operator_change(function, node, _OFF_BY_ONE[type(node.ops[0])])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
            end = function.file.end_of(node.args[-1]) if len(node.args) in (1, 2) and not node.keywords else None
            is_sum = end is not None and isinstance(node.args[-1], ast.BinOp)
            if end is not None and not is_sum:
                changes.append((end, end, rng.choice((" - 1", " + 1"))))
            elif end is not None and isinstance(node.args[-1], ast.BinOp) and _is_one(node.args[-1].right):
                changes.append((function.file.end_of(node.args[-1].left), end, ""))
    if not changes:
        return None
    subject = rng.choice((f"Fix off-by-one error in {function.name}", f"{function.name}: fix off-by-one error"))
    return Change(subject, [rng.choice(changes)], leads_to=True)


def fix_condition(function: PythonFunction, rng: random.Random) -> Change | None:
    """A condition that was inverted."""
    changes: list[Replacement] = []
    for node in function.walk():
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _OPPOSITE:
            changes += _operator_change(function, node, _OPPOSITE[type(node.ops[0])])
        elif isinstance(node, ast.If | ast.While | ast.IfExp):
            start = function.file.start_of(node.test)
            if isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not):
                changes.append((start, function.file.start_of(node.test.operand), ""))
            elif isinstance(node.test, ast.Name | ast.Call):
                changes.append((start, start, "not "))
    if not changes:
        return None
    subject = rng.choice((f"Fix inverted condition in {function.name}", f"{function.name}: the condition was inverted"))
    return Change(subject, [rng.choice(changes)], leads_to=True)


def remove_debugging(function: PythonFunction, rng: random.Random) -> Change | None:
    """A print or a breakpoint that is left from debugging."""
    statements = [each for each in function.statements if isinstance(each, ast.Assign | ast.Expr | ast.Return | ast.If)]
    names = [each.arg for each in function.parameters]
    if not statements:
        return None
    statement = rng.choice(statements)
    start, indentation = function.file.offset(statement.lineno, 0), " " * statement.col_offset
    is_print = bool(names) and rng.random() < 0.7
    name = rng.choice(names) if names else ""
    line = rng.choice((f"print({name})", f'print("{name}", {name})')) if is_print else rng.choice(
        ("breakpoint()", "import pdb; pdb.set_trace()")
    )  # fmt: skip
    subject = "Remove debug print" if is_print else "Remove breakpoint"
    return Change(
        rng.choice((subject, f"{subject} from {function.name}")), [(start, start, f"{indentation}{line}\n")], True
    )


def move_import(function: PythonFunction, rng: random.Random) -> Change | None:
    """An import in the function moves to those at the top of the file, where it is in the code as it is."""
    file = function.file
    imports = [node for node in file.tree.body if isinstance(node, ast.Import) and len(node.names) == 1]
    used = function.names()
    chosen = [node for node in imports if (node.names[0].asname or node.names[0].name) in used]
    if not chosen or not function.statements:
        return None
    node, first = rng.choice(chosen), function.statements[0]
    others = [each for each in file.tree.body if isinstance(each, ast.Import | ast.ImportFrom)]
    if len(others) < 2 or first.lineno - node.lineno > 50 or first.lineno == function.node.lineno:
        return None
    line = file.source_of(node)
    start, end = file.offset(node.lineno, 0), file.offset(node.lineno + 1, 0)
    at = file.offset(first.lineno, 0)
    if start > at or line.count("\n"):
        return None
    name = node.names[0].name
    subject = rng.choice((f"Move import of {name} to the top", f"Import {name} at the top of the module"))
    return Change(subject, [(start, end, ""), (at, at, f"{' ' * first.col_offset}{line}\n")], leads_to=True)


def _add_first_guard(function: PythonFunction, rng: random.Random, is_none_check: bool) -> Change | None:
    if len(function.statements) < 2:
        return None
    first = function.statements[0]
    if not isinstance(first, ast.If) or first.orelse or len(first.body) != 1:
        return None
    condition, leaving = function.file.source_of(first.test), function.file.source_of(first.body[0])
    checks_none = condition.endswith((" is None", " is not None"))
    is_exit = isinstance(first.body[0], ast.Return | ast.Raise)
    is_long = len(condition) > _MAX_CONDITION_CHARS or len(leaving) > _MAX_EXIT_CHARS or "\n" in condition + leaving
    if not is_exit or is_long or checks_none is not is_none_check:
        return None
    start, end = function.line_of(first)
    words = leaving[:1].upper() + leaving[1:]
    subject = rng.choice((f"{words} if {condition}", f"{function.name}: {leaving} if {condition}"))
    return Change(subject, [(start, end, "")], leads_to=True)


def _operator_change(function: PythonFunction, node: ast.Compare, new: str) -> Iterator[Replacement]:
    """The operator between the two sides of a comparison, if it is where it is expected."""
    start, end = function.file.end_of(node.left), function.file.start_of(node.comparators[0])
    between, old = function.file.text[start:end], _SYMBOLS[type(node.ops[0])]
    if between == f" {old} ":
        yield start, end, f" {new} "


def _is_one(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 1


FIXES: Mapping[str, Maker] = {
    "added guard": add_guard,
    "added None check": add_none_check,
    "off by one": fix_off_by_one,
    "inverted condition": fix_condition,
    "removed debugging": remove_debugging,
    "moved import": move_import,
}
