"""Replays renames, argument changes and typing in Python files, and compares the next edits with what Python says.

Decides what counts: an offer is correct if it changes one of the remaining positions as the user's edit did. Correct
offers are accepted, wrong ones dismissed, until there is none.
"""

from __future__ import annotations

import ast
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from starcoder_ls.context.edit_history import EditHistory
from starcoder_ls.evaluation.python_scopes import PythonScopes, Symbol, position_of
from starcoder_ls.next_edit.mechanical import OpenText, find_next_edits
from starcoder_ls.next_edit.token_changes import Replacement

_URI, _PATH = "file:///replayed.py", "/replayed.py"
_MAX_OFFERS = 500
_NEW_NAME, _NEW_ARGUMENT = "renamed_by_replay", "added_by_replay=None"


@dataclass(slots=True)
class Score:
    """Counts of positions that had to change, of offers by correctness; seconds of processor time of each search.

    ``unknown_members``: members of the same name of other objects, which may or may not be meant; they are not in
    ``remaining``.
    """

    changes: int = 0
    remaining: int = 0
    correct: int = 0
    wrong: int = 0
    unknown_members: int = 0
    keystrokes: int = 0
    offers_while_typing: int = 0
    seconds: list[float] = field(default_factory=list)

    def add(self, other: Score) -> None:
        self.changes += other.changes
        self.remaining += other.remaining
        self.correct += other.correct
        self.wrong += other.wrong
        self.unknown_members += other.unknown_members
        self.keystrokes += other.keystrokes
        self.offers_while_typing += other.offers_while_typing
        self.seconds += other.seconds


class _Document:
    """A file that is edited key by key."""

    def __init__(self, text: str, clock: Callable[[], float]) -> None:
        self.text, self.cursor, self._clock = text, 0, clock
        self.history = EditHistory()
        self.seconds: list[float] = []

    def replace(self, start: int, end: int, text: str) -> None:
        removed = self.text[start:end]
        self.text = self.text[:start] + text + self.text[end:]
        self.cursor = start + len(text)
        self.history.record(_URI, _PATH, self.text, start, removed, text)

    def type_over(self, start: int, end: int, text: str) -> None:
        """Delete the characters from ``start`` to ``end``, then type ``text``."""
        if end > start:
            self.replace(start, end, "")
        for index, char in enumerate(text):
            self.replace(start + index, start + index, char)

    def search(self) -> list[Replacement]:
        started = self._clock()
        found = find_next_edits(OpenText(_URI, "python", self.text), self.cursor, self.history.recent(), {})
        self.seconds.append(self._clock() - started)
        return found


def replay_renames(text: str, count: int, seed: int, clock: Callable[[], float] = time.thread_time) -> Score:
    """Rename ``count`` random symbols of ``text``, one at a time, where they are defined."""
    score = Score()
    scopes = PythonScopes(text)
    symbols = scopes.renamable()
    for symbol in random.Random(seed).sample(symbols, min(count, len(symbols))):
        definition = _offset(scopes.lines, position_of(symbol, scopes.lines))
        remaining = {_offset(scopes.lines, position) for position in symbol.positions} - {definition}
        document = _Document(text, clock)
        document.type_over(definition, definition + len(symbol.name), _NEW_NAME)
        growth = len(_NEW_NAME) - len(symbol.name)
        shifted = {offset + growth * (offset > definition) for offset in remaining}

        def is_correct(offer: Replacement, symbol: Symbol = symbol, shifted: set[int] = shifted) -> bool:
            return offer.start in shifted and (offer.old, offer.text) == (symbol.name, _NEW_NAME)

        score.add(_accept_correct(document, len(remaining), is_correct, shifted))
        score.unknown_members += scopes.members_elsewhere(symbol)
    return score


def _accept_correct(
    document: _Document, remaining: int, is_correct: Callable[[Replacement], bool], offsets: set[int]
) -> Score:
    """Accept correct offers until there is none. ``offsets`` are kept up to date."""
    score = Score(changes=1, remaining=remaining)
    dismissed: set[tuple[int, str]] = set()
    for _ in range(_MAX_OFFERS):
        offers = [each for each in document.search() if (each.start, each.text) not in dismissed]
        if not offers:
            break
        offer = offers[0]
        if not is_correct(offer):
            score.wrong += 1
            dismissed.add((offer.start, offer.text))
            continue
        score.correct += 1
        document.replace(offer.start, offer.end, offer.text)
        growth = len(offer.text) - len(offer.old)
        moved = {each + growth * (each > offer.start) for each in offsets if each != offer.start}
        offsets.clear()
        offsets.update(moved)
        dismissed = {(start + growth * (start > offer.start), text) for start, text in dismissed}
    score.seconds = document.seconds
    return score


def replay_arguments(text: str, count: int, seed: int, clock: Callable[[], float] = time.thread_time) -> Score:
    """Remove a parameter, or add one and its argument at one call, of ``count`` random functions that are called."""
    score = Score()
    scopes = PythonScopes(text)
    functions = [each for each in scopes.symbols.values() if each.is_certain and each.definitions == 1 and each.calls]
    functions = [each for each in functions if isinstance(each.definition, ast.FunctionDef) and not each.owner]
    drawn = random.Random(seed)
    for symbol in drawn.sample(functions, min(count, len(functions))):
        for replay in (_replay_removal, _replay_addition):
            found = replay(text, scopes, symbol, clock)
            if found is not None:
                score.add(found)
    return score


def _replay_removal(text: str, scopes: PythonScopes, symbol: Symbol, clock: Callable[[], float]) -> Score | None:
    """Remove the last positional parameter that some call passes."""
    function = symbol.definition
    assert isinstance(function, ast.FunctionDef)
    parameters = [*function.args.posonlyargs, *function.args.args]
    for index in range(len(parameters) - 1, -1, -1):
        passing = [call for call in symbol.calls if _passes(call, parameters[index].arg, index) is not None]
        unclear = [call for call in symbol.calls if any(isinstance(each, ast.Starred) for each in call.args)]
        if not passing or unclear or any(keyword.arg is None for call in symbol.calls for keyword in call.keywords):
            continue
        span = _parameter_span(text, scopes, function, parameters, index)
        if span is None:
            return None
        document = _Document(text, clock)
        document.replace(*span, "")
        expected = [_without(call, parameters[index].arg, index) for call in passing]
        return _accept_calls(document, expected)
    return None


def _replay_addition(text: str, scopes: PythonScopes, symbol: Symbol, clock: Callable[[], float]) -> Score | None:
    """Add a parameter at the end, and its argument to the first call; the other calls remain."""
    function = symbol.definition
    assert isinstance(function, ast.FunctionDef)
    parameters = [*function.args.posonlyargs, *function.args.args]
    has_more = function.args.vararg or function.args.kwarg or function.args.kwonlyargs or function.args.defaults
    if len(symbol.calls) < 2 or not parameters or has_more:
        return None
    unclear = (ast.Starred, ast.GeneratorExp)
    if any(isinstance(each, unclear) for call in symbol.calls for each in call.args):
        return None
    if any(keyword.arg is None for call in symbol.calls for keyword in call.keywords):
        return None
    first, others = symbol.calls[0], symbol.calls[1:]
    if not (first.args or first.keywords):
        return None
    document = _Document(text, clock)
    last = parameters[-1]
    end = _offset(scopes.lines, _end_of(last))
    call_end = max(_offset(scopes.lines, _end_of(each)) for each in (*first.args, *first.keywords))
    parameter = f", {_NEW_ARGUMENT.partition('=')[0]}"
    for start, added in sorted([(end, parameter), (call_end, f", {_NEW_ARGUMENT}")], reverse=True):
        document.type_over(start, start, added)
    document.cursor = call_end
    keyword = ast.keyword(_NEW_ARGUMENT.partition("=")[0], ast.Constant(None))
    expected = [ast.Call(call.func, call.args, [*call.keywords, keyword]) for call in others]
    return _accept_calls(document, expected)


def _accept_calls(document: _Document, expected: list[ast.Call]) -> Score:
    """Accept the offers that bring one more call to its expected form, and no call to another one."""
    expected_forms = Counter(ast.unparse(call) for call in expected)
    present_forms = _call_forms(document.text) or Counter()

    def missing(text: str) -> int | None:
        forms = _call_forms(text)
        if forms is None:
            return None
        return sum(max(0, present_forms[form] + count - forms[form]) for form, count in expected_forms.items())

    def is_correct(offer: Replacement) -> bool:
        before = missing(document.text)
        after = missing(document.text[: offer.start] + offer.text + document.text[offer.end :])
        return before is not None and after is not None and after < before

    remaining = missing(document.text)
    if not remaining:
        return Score()
    return _accept_correct(document, remaining, is_correct, set())


def _call_forms(text: str) -> Counter[str] | None:
    """The calls of ``text`` in a uniform layout; None if it is not valid."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return None
    return Counter(ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call))


def _passes(call: ast.Call, name: str, index: int) -> ast.AST | None:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword
    return call.args[index] if index < len(call.args) else None


def _without(call: ast.Call, name: str, index: int) -> ast.Call:
    removed = _passes(call, name, index)
    arguments = [each for each in call.args if each is not removed]
    return ast.Call(call.func, arguments, [each for each in call.keywords if each is not removed])


def _parameter_span(
    text: str, scopes: PythonScopes, function: ast.FunctionDef, parameters: list[ast.arg], index: int
) -> tuple[int, int] | None:
    """The characters of a parameter with its annotation, default and one comma; None if it is hard to tell."""
    every = [*parameters, *([function.args.vararg] if function.args.vararg else []), *function.args.kwonlyargs]
    if function.args.posonlyargs or (index + 1 == len(parameters) and len(every) > len(parameters)):
        return None
    start = _offset(scopes.lines, (parameters[index].lineno, parameters[index].col_offset))
    if index + 1 < len(parameters):
        following = parameters[index + 1]
        return start, _offset(scopes.lines, (following.lineno, following.col_offset))
    defaults = function.args.defaults
    last: ast.expr | ast.arg = defaults[-1] if defaults else parameters[index]
    end = _offset(scopes.lines, _end_of(last))
    if index:
        start = text.rfind(",", 0, start)
    return (start, end) if text[end : end + 1] == ")" else None


def replay_typing(text: str, keystrokes: int, seed: int, clock: Callable[[], float] = time.thread_time) -> Score:
    """Type a function of ``text`` again, with some typing errors, and search after each key."""
    drawn = random.Random(seed)
    lines = text.split("\n")
    functions = [
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef) and node.end_lineno is not None
    ]
    if not functions:
        return Score()
    function = drawn.choice(functions)
    start = sum(len(line) + 1 for line in lines[: function.lineno - 1])
    end = sum(len(line) + 1 for line in lines[: function.end_lineno])
    document = _Document(text[:start] + text[end:], clock)
    score, shown, position = Score(), None, start
    for char, is_removed in _keys(text[start:end][:keystrokes], drawn):
        position = position - 1 if is_removed else position
        document.replace(position, position + is_removed, "" if is_removed else char)
        position += not is_removed
        offers = document.search()
        offer = (offers[0].old, offers[0].text) if offers else None
        score.offers_while_typing += offer is not None and offer != shown
        score.keystrokes += 1
        shown = offer
    score.seconds = document.seconds
    return score


def _keys(text: str, drawn: random.Random) -> Iterator[tuple[str, bool]]:
    """The keys for ``text``: (character, whether it is removed); every 25th is wrong, and corrected at once."""
    for char in text:
        if drawn.random() < 0.04:
            yield drawn.choice("abcdefghij"), False
            yield "", True
        yield char, False


def _end_of(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0)


def _offset(lines: list[str], position: tuple[int, int]) -> int:
    """The character at line (from 1) and column in bytes."""
    line, column = position
    before = sum(len(each) + 1 for each in lines[: line - 1])
    return before + len(lines[line - 1].encode()[:column].decode())
