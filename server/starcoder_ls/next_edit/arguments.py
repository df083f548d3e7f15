"""After a parameter was removed, or an argument was added to one call: the same at the other calls of the function.

Decides which calls follow: those of the same function in this text that the user has not edited, and for which the
change has one meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starcoder_ls.context.edit_history import RecentEdit
from starcoder_ls.next_edit.source import Source, source_of
from starcoder_ls.next_edit.token_changes import Replacement, locate_edit
from starcoder_ls.syntax.call_arguments import (
    Argument,
    Parameter,
    arguments_of,
    calls_of,
    function_name,
    parameter_list_around,
    parameter_lists_of,
    read_arguments,
    read_parameters,
)
from starcoder_ls.syntax.grammars import Node
from starcoder_ls.syntax.name_resolution import NameResolver, Occurrence

_MAX_ADDED_CHARS, _MAX_EDIT_CHARS = 80, 200


@dataclass(frozen=True, slots=True)
class _Edited:
    """Where an edit is in the text now, and the text before it."""

    start: int
    end: int
    before: Source


def find_argument_edits(source: Source, edit: RecentEdit, others: Sequence[RecentEdit]) -> list[Replacement]:
    """What follows in ``source``, the text now, from ``edit``. ``others``: the other recent edits of the document."""
    located = locate_edit(edit, source.text)
    if located is None or not _may_be_in_a_list(source.text, *located) or source.names is None:
        return []
    start, end, removed = located
    before = source_of(source.text[:start] + removed + source.text[end:], source.language)
    if before.names is None:
        return []
    spans = [span[:2] for other in others if (span := locate_edit(other, source.text)) is not None]
    follower = _Follower(source, source.names, _Edited(start, end, before), spans)
    return follower.after_removed_parameter(before.names) or follower.after_added_argument(before.names)


def _may_be_in_a_list(text: str, start: int, end: int, removed: str) -> bool:
    """Whether an edit may have added or removed an element of a list in parentheses; false for most edits."""
    written = text[start:end].strip()
    if bool(written) == bool(removed.strip()) or "\n" in written or max(len(written), len(removed)) > _MAX_EDIT_CHARS:
        return False
    before, after = text[:start].rstrip()[-1:], text[end : end + _MAX_EDIT_CHARS].lstrip()[:1]
    has_comma = "," in (written or removed)
    return has_comma or (before == "(" and after == ")")


class _Follower:
    """``spans`` are what the user has edited elsewhere: calls there are left alone."""

    def __init__(self, source: Source, names: NameResolver, edited: _Edited, spans: list[tuple[int, int]]) -> None:
        self._source, self._names, self._edited, self._spans = source, names, edited, spans

    def after_removed_parameter(self, old_names: NameResolver) -> list[Replacement]:
        """The calls without the argument of the removed parameter."""
        now, old = self._list_around(self._source, True), self._list_around(self._edited.before, True)
        name = function_name(now) if now is not None else None
        if now is None or old is None or name is None:
            return []
        new_parameters, old_parameters = read_parameters(self._names, now), read_parameters(old_names, old)
        if new_parameters is None or old_parameters is None or len(old_parameters) != len(new_parameters) + 1:
            return []
        remaining = [each.name for each in new_parameters]
        index = next((at for at, each in enumerate(old_parameters) if [each.name] != remaining[at : at + 1]), -1)
        if [each.name for each in old_parameters if each is not old_parameters[index]] != remaining:
            return []
        function = self._names.at(name.start_byte, name.end_byte)
        if function is None or old_parameters[index].is_variadic:
            return []
        return [
            replacement
            for call in self._other_calls(function)
            if (replacement := self._without_argument(call, old_parameters, index)) is not None
        ]

    def after_added_argument(self, old_names: NameResolver) -> list[Replacement]:
        """The other calls with the argument that was added to one of them."""
        now, old = self._list_around(self._source, False), self._list_around(self._edited.before, False)
        if now is None or old is None or now.parent is None or old.parent is None:
            return []
        arguments, old_arguments = read_arguments(self._names, now.parent), read_arguments(old_names, old.parent)
        if arguments is None or old_arguments is None or len(arguments) != len(old_arguments) + 1:
            return []
        texts = [self._source.text_of(each.node) for each in arguments]
        old_texts = [self._edited.before.text_of(each.node) for each in old_arguments]
        index = next((at for at, text in enumerate(texts) if old_texts[at : at + 1] != [text]), -1)
        added, text = arguments[index], texts[index]
        if texts[:index] + texts[index + 1 :] != old_texts or added.is_splat or len(text) > _MAX_ADDED_CHARS:
            return []
        function = self._callee(now.parent)
        if function is None or "\n" in text or not self._is_expected(function, text):
            return []
        positional = sum(not each.keyword for each in old_arguments)
        return [
            replacement
            for call in self._other_calls(function)
            if call.id != now.parent.id
            and self._can_see_names(added.node, call)
            and (replacement := self._with_argument(call, added, text, index, positional)) is not None
        ]

    def _list_around(self, source: Source, is_definition: bool) -> Node | None:
        """The list of parameters or arguments that the edit is in."""
        end = self._edited.end + len(source.text) - len(self._source.text)
        for start in (self._edited.start, max(0, self._edited.start - 1)):
            node = source.node_between(start, max(start, end))
            if node is None:
                continue
            found = parameter_list_around(node) if is_definition else self._argument_list_around(node)
            if found is not None:
                first, last = source.span_of(found)
                if first < self._edited.start + (start == self._edited.start) and end < last + 1:
                    return found
        return None

    def _argument_list_around(self, node: Node) -> Node | None:
        found: Node | None = node
        while found is not None and not (
            found.parent is not None
            and found.parent.type in self._names.rules.calls
            and (arguments := arguments_of(self._names, found.parent)) is not None
            and arguments.id == found.id
        ):
            found = found.parent
        return found

    def _callee(self, call: Node) -> Occurrence | None:
        function = call.child_by_field_name(self._names.rules.calls[call.type][0])
        if function is not None and function.type in self._names.rules.members:
            function = function.child_by_field_name(self._names.rules.members[function.type][1])
        return self._names.at(function.start_byte, function.end_byte) if function is not None else None

    def _other_calls(self, function: Occurrence) -> list[Node]:
        """The calls of ``function`` that no edit has touched."""
        found = []
        for call in calls_of(self._names, function):
            arguments = arguments_of(self._names, call)
            if arguments is not None:
                start, end = self._source.span_of(arguments)
                edited = (*self._spans, (self._edited.start, self._edited.end))
                if not any(start < last and first < end for first, last in ((a, max(b, a + 1)) for a, b in edited)):
                    found.append(call)
        return found

    def _without_argument(self, call: Node, parameters: list[Parameter], index: int) -> Replacement | None:
        arguments = read_arguments(self._names, call)
        if arguments is None:
            return None
        by_keyword = [at for at, each in enumerate(arguments) if each.keyword == parameters[index].name]
        if by_keyword:
            return _removal(self._source, arguments[by_keyword[0]].node)
        position = index - self._bound_parameters(call, parameters)
        positional = [at for at, each in enumerate(arguments) if not each.keyword]
        is_known = not any(each.is_splat for each in arguments[: position + 1])
        if not 0 <= position < len(positional) or not is_known or parameters[index].is_keyword_only:
            return None
        return _removal(self._source, arguments[positional[position]].node)

    def _bound_parameters(self, call: Node, parameters: list[Parameter]) -> int:
        """How many parameters at the start get no argument at ``call``: ``self`` does not."""
        is_method = bool(parameters) and parameters[0].name.decode("utf-8", "replace") in self._names.rules.self_names
        callee = self._callee(call)
        if not is_method or callee is None:
            return 0
        if callee.role != "member" or parameters[0].name != b"self":
            return 1
        owner = callee.node.parent.children[0] if callee.node.parent is not None else None
        return int(owner is not None and self._names.text(owner) == b"self")

    def _is_expected(self, function: Occurrence, text: str) -> bool:
        """Whether the signature was changed too, or the same argument was added to another call before."""
        if function.key is None:
            return False
        for parameters in parameter_lists_of(self._names, function):
            start, end = self._source.span_of(parameters)
            if any(start < last and first < end for first, last in self._spans):
                return True
        return any(self._is_added_elsewhere(function, span, text) for span in self._spans)

    def _is_added_elsewhere(self, function: Occurrence, span: tuple[int, int], text: str) -> bool:
        if self._source.text[span[0] : span[1]].strip(" ,\n") != text:
            return False
        node = self._source.node_between(*span)
        arguments = self._argument_list_around(node) if node is not None else None
        callee = self._callee(arguments.parent) if arguments is not None and arguments.parent is not None else None
        return (
            callee is not None
            and callee.key == function.key
            and self._names.text(callee.node) == self._names.text(function.node)
        )

    def _can_see_names(self, added: Node, call: Node) -> bool:
        """Whether each name in the argument is bound where ``call`` is, or bound nowhere: a builtin."""
        leaves = [added]
        while leaves:
            node = leaves.pop()
            leaves += node.children
            if node.child_count == 0 and node.type in self._names.rules.variables:
                found = self._names.at(node.start_byte, node.end_byte)
                name = self._names.text(node)
                if found is None or found.role != "variable":
                    continue
                is_bound = any(each.kind for each in self._names.occurrences(name))
                if is_bound and self._names.scope_of(name, call) is None:
                    return False
        return True

    def _with_argument(self, call: Node, added: Argument, text: str, index: int, positional: int) -> Replacement | None:
        arguments, node = read_arguments(self._names, call), arguments_of(self._names, call)
        if arguments is None or node is None or any(each.is_splat for each in arguments):
            return None
        if added.keyword:
            if any(each.keyword == added.keyword for each in arguments):
                return None
            index = len(arguments)
        elif sum(not each.keyword for each in arguments) != positional or index > positional:
            return None
        if index < len(arguments):
            start = self._source.span_of(arguments[index].node)[0]
            return Replacement(start, start, "", f"{text}, ")
        if not arguments:
            start = self._source.span_of(node)[0] + 1
            return Replacement(start, start, "", text)
        return _appended(self._source, arguments[-1].node, text)


def _tail_of(argument: Node) -> list[Node]:
    """What belongs to ``argument`` behind it: its comma, and a comment at the end of the same line."""
    tail: list[Node] = []
    node = argument.next_sibling
    while node is not None:
        after = node.next_sibling
        is_line_end = after is None or after.start_point.row > node.end_point.row
        is_comment = "comment" in node.type and node.start_point.row == argument.end_point.row and is_line_end
        if node.type != "," and not is_comment:
            break
        tail.append(node)
        node = after
    return tail


def _removal(source: Source, argument: Node) -> Replacement:
    """``argument`` goes with its comment, and with the comma behind it or, if it is the last one, before it."""
    start, end = source.span_of(argument)
    tail = _tail_of(argument)
    before, after = argument.prev_sibling, (tail or [argument])[-1].next_sibling
    if before is not None and before.type == "(" and after is not None and after.type == ")":  # the only one
        start, end = source.span_of(before)[1], source.span_of(after)[0]
    elif after is not None and after.type != ")":
        end = source.span_of(after)[0]
    elif before is not None and (tail or before.type != ","):
        start, end = source.span_of(before)[1], source.span_of((tail or [argument])[-1])[1]
    elif before is not None and before.prev_sibling is not None:
        start = source.span_of(before.prev_sibling)[1]
    return Replacement(start, end, source.text[start:end], "")


def _appended(source: Source, last: Node, text: str) -> Replacement:
    """The argument ``text`` behind the ``last`` one, in a line of its own where that has one or ends with a comment."""
    tail = _tail_of(last)
    comma = "," if any(node.type == "," for node in tail) else ""
    start, end = source.span_of(last)
    line = source.text.rfind("\n", 0, start) + 1
    before = source.text[line:start]
    separator = " "
    if any(node.type != "," for node in tail) or (comma and not before.strip()):
        indent = before[: len(before) - len(before.lstrip(" \t"))]
        separator = ("\r\n" if source.text[:line].endswith("\r\n") else "\n") + indent
    tail_end = source.span_of(tail[-1])[1] if tail else end
    old = "" if comma else source.text[end:tail_end]  # a comment, which the missing comma must precede
    new = f"{separator}{text}," if comma else f",{old}{separator}{text}"
    return Replacement(tail_end - len(old), tail_end, old, new)
