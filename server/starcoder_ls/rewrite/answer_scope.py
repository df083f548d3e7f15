"""Keeps an edit within its target: takes from the code of an answer what belongs there.

A model likes to answer with a whole program: imports, an example, a block for `__main__`. If the target is one
definition, that definition is taken and nothing else; imports that it needs go to the import block. Where the language
has no grammar, or the code has errors, the answer is used as it is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from starcoder_ls.errors import AnswerUnusable
from starcoder_ls.printable import quoted_code
from starcoder_ls.rewrite import import_block, text_lines
from starcoder_ls.rewrite.edits import Change
from starcoder_ls.rewrite.enclosing_function import find_enclosing_function
from starcoder_ls.rewrite.item_removal import remove_items
from starcoder_ls.rewrite.target import Target
from starcoder_ls.syntax.items import Item, defined_names, find_definitions, has_items, read_items

_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
_FUNCTION_KEYWORD = re.compile(r"\A(async\s+)?function\s*(\*?)\s*")
_ELISION_WORDS = r"\b(?:rest of|remaining|existing|unchanged|omitted|same as (?:before|above))\b"
_ELIDED = r"\b(?:code|function|method|class|implementation)\b"
_ELISION = re.compile(
    r"^[ \t]*(?:#|//|/\*|\{/\*)[ \t(]*(?:\.\.\.|…"
    rf"|[^\n]{{0,12}}{_ELISION_WORDS}[^\n]{{0,60}}(?:\.\.\.|…)"
    rf"|(?=[^\n]*{_ELISION_WORDS})(?=[^\n]*{_ELIDED})(?:(?:{_ELISION_WORDS}|{_ELIDED}|\b(?:the|this|your|all|other|and|is|"
    r"are|was|remains?|stays?|goes|continues?|same|as|before|here|follows|for|brevity)\b)[ \t,:()-]*)++[.;]?[ \t]*"
    r"(?:\*/\}?[ \t]*)?$)",
    re.IGNORECASE | re.MULTILINE,
)
"""A comment that stands for code: one with an ellipsis, or of nothing but such words (`rest of the code is here`)."""


@dataclass(frozen=True, slots=True)
class ScopedCode:
    """The code that replaces the target or goes below it, and the change of the import block that it needs."""

    code: str
    import_changes: list[Change]


def scope_answer(target: Target, code: str, is_insertion: bool = False, may_rename: bool = False) -> ScopedCode:
    """What of ``code`` belongs into ``target``, or below it if ``is_insertion``.

    ``may_rename``: the user's own words ask for the change, so that names, modifiers and the number of definitions may
    change. Raises AnswerUnusable if the answer has not what the target needs, or needs more than it.
    """
    _require_whole(target, code)
    if not has_items(target.language):
        return ScopedCode(code, [])
    old_lines = text_lines.dedent([line.rstrip("\r\n") for line in text_lines.split_lines(target.code)])
    old, new = "\n".join(old_lines), "\n".join(text_lines.dedent(code.split("\n")))
    old_items, new_items = read_items(old, target.language), read_items(new, target.language)
    document = read_items(target.text, target.language)
    if new_items is None and old_items is not None and document is not None and not is_insertion:
        raise AnswerUnusable("The code of the model's answer has a syntax error. Try again, or select other lines.")
    if new_items is None or (old_items is None and not is_insertion):
        return ScopedCode(code, [])
    scope = _Scope(target, old, old_items or [], new, new_items, document or [], may_rename)
    if is_insertion:
        return scope.insertion()
    single = scope.single_definition()
    return scope.definition(single) if single is not None else scope.statements()


def _require_whole(target: Target, code: str) -> None:
    """Raises AnswerUnusable if the answer stands for more code than it contains."""
    elision = _ELISION.search(code)
    if elision is not None and elision[0].strip() not in target.code:
        raise AnswerUnusable(
            f"The answer leaves code out where it says {quoted_code(elision[0].strip()[:60])}, so nothing was changed. "
            "Select less, or try again."
        )


@dataclass(frozen=True, slots=True)
class _Scope:
    """The texts of the target and of the answer, at the margin, and their statements."""

    target: Target
    old: str
    old_items: Sequence[Item]
    new: str
    new_items: Sequence[Item]
    document: Sequence[Item]
    may_rename: bool

    def single_definition(self) -> Item | None:
        """The definition that the target is; None if it is something else or more."""
        definitions = [item for item in self.old_items if item.kind == "definition"]
        has_others = any(item.kind not in ("definition", "comment") for item in self.old_items)
        return definitions[0] if len(definitions) == 1 and not has_others else None

    def definition(self, old: Item) -> ScopedCode:
        """The new code of the definition ``old``. Raises AnswerUnusable."""
        new = self._find_definition(old)
        indentation = _indentation_before(self.new, new.start)
        body = self.new[new.head_end : new.end]
        if old.is_method and not new.is_method:
            body = _FUNCTION_KEYWORD.sub(r"\1\2", body, count=1)
        head = self._choose_head(self.old[old.start : old.head_end], self.new[new.start : new.head_end], indentation)
        comments = self._leading_comments(old)
        below = self.old[old.end :].rstrip().replace("\n", f"\n{indentation}")  # only comments, by single_definition
        code = "".join(f"{indentation}{line}\n" for line in comments) + indentation + head + body + below
        used = new.fragment.names() if new.fragment is not None else set[str]()
        self._require_self_contained(new, used)
        return ScopedCode(code, self._import_changes(used))

    def statements(self) -> ScopedCode:
        """The answer without what the target has none of: imports, `__main__`, examples. Raises AnswerUnusable."""
        kinds = {item.kind for item in self.old_items}
        names = {item.name for item in find_definitions(self.old_items)}
        enclosing = self._enclosing_name()
        added = [item for item in self.new_items if item.kind == "definition" and item.name not in names]
        if any(item.name == enclosing for item in added):
            raise AnswerUnusable(
                f"The model answered with the whole of `{enclosing}`, of which some lines are selected. Select all "
                "of it, or put the cursor into it without a selection."
            )
        if added and not self.may_rename and not names:
            raise AnswerUnusable(
                f"The model answered with a definition, `{added[0].name}`, in place of the selected lines. Select a "
                "whole definition, or say in an instruction that you want one."
            )
        dropped = {"main", "import", "header"} - kinds
        if names and "other" not in kinds:
            dropped.add("other")
        return self._without(dropped)

    def insertion(self) -> ScopedCode:
        """The answer without imports, `__main__`, examples and a repetition of the target's definitions."""
        names = {item.name for item in self.old_items if item.kind == "definition"}
        has_new = any(item.kind == "definition" and item.name not in names for item in self.new_items)
        dropped = {"main", "import", "header"} | ({"other"} if has_new else set())
        return self._without(dropped, names if has_new else set())

    def _without(self, kinds: set[str], names: set[str] | frozenset[str] = frozenset()) -> ScopedCode:
        """The answer's code without the items of ``kinds`` and the definitions of ``names``, and what it needs."""
        kept = [
            item
            for item in self.new_items
            if item.kind not in kinds and not (item.kind == "definition" and item.name in names)
        ]
        if all(item.kind == "comment" for item in kept) and len(kept) < len(self.new_items):
            raise AnswerUnusable("The model's answer has no code that belongs here. Select other lines, or try again.")
        removed = [item for item in self.new_items if item not in kept]
        used = set[str]().union(*(item.fragment.names() for item in kept if item.fragment is not None))
        changes = self._import_changes(used) if "import" in kinds else []
        return ScopedCode(remove_items(self.new, self.new_items, removed), changes)

    def _find_definition(self, old: Item) -> Item:
        """The definition in the answer that is meant for ``old``. Raises AnswerUnusable if there is none."""
        everything = list(find_definitions(self.new_items))
        found = [item for item in everything if item.name == old.name and item.is_type == old.is_type]
        if found:
            first_line = self.old[old.head_end : old.end].partition("\n")[0]
            return max(found, key=lambda item: _similarity(self.new[item.head_end : item.end], first_line))
        top = [item for item in self.new_items if item.kind == "definition" and item.is_type == old.is_type]
        if self.may_rename and len(top) == 1:
            return top[0]
        others = ", ".join(quoted_code(item.name) for item in everything[:3])
        has = f"It has {others} instead." if others else "It has no definition."
        raise AnswerUnusable(f"The model's answer does not contain {quoted_code(old.name)}. {has} Try again.")

    def _choose_head(self, old: str, new: str, indentation: str) -> str:
        """Decorators and modifiers: those of the target, unless the user asked for a change or there were none.

        Decorators of Python that the answer adds or changes are part of the answer.
        """
        is_new = bool(new.strip()) and (self.may_rename or (new.lstrip().startswith("@") and "\n" in new))
        chosen = new if is_new or (self.may_rename and not old.strip()) else old
        if chosen is old:
            return old.replace("\n", f"\n{indentation}")
        return chosen

    def _leading_comments(self, old: Item) -> list[str]:
        """The comments above the target's definition, if they are part of the target."""
        return self.old[: old.start].rstrip().split("\n") if self.old[: old.start].strip() else []

    def _require_self_contained(self, new: Item, used: set[str]) -> None:
        """Raises AnswerUnusable if the definition uses something else that only the answer defines."""
        inside = {item.name for item in find_definitions(new.members)} | {new.name}
        known = defined_names(self.document)
        for item in (*find_definitions(self.new_items), *self.new_items):
            is_needed = item.kind == "definition" or (item.kind == "other" and _CONSTANT.fullmatch(item.name))
            contains_new = item.start <= new.start and new.end <= item.end
            if is_needed and item.name in used - known - inside and not contains_new:
                raise AnswerUnusable(
                    f"The answer also needs {quoted_code(item.name)}, which is not part of {quoted_code(new.name)}, so "
                    "nothing was changed. Select more lines, or try again."
                )

    def _import_changes(self, used: set[str]) -> list[Change]:
        """Raises AnswerUnusable if an import cannot be added."""
        offered = import_block.imported_names(self.new_items, self.target.language)
        missing = import_block.find_missing(offered, used, self.document, self.target.language)
        changes = import_block.add_imports(self.target, self.document, missing)
        if any(self.target.start <= change.start < self.target.end for change in changes) and self.target.start > 0:
            raise AnswerUnusable(
                f"The answer needs {quoted_code(missing[0].statement)}. Add it yourself and run the action again."
            )
        return changes

    def _enclosing_name(self) -> str:
        """The name of the function or class around the target; "" if there is none or the target is all of it."""
        span = find_enclosing_function(self.target.text, self.target.start, self.target.language)
        if span is None or (span.start >= self.target.start and span.end <= self.target.end):
            return ""
        around = [
            item
            for item in find_definitions(self.document)
            if item.start <= self.target.start and self.target.end <= item.end
        ]
        return around[-1].name if around else ""


def _indentation_before(text: str, offset: int) -> str:
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    return line if text_lines.is_blank(line) else ""


def _similarity(code: str, first_line: str) -> float:
    return difflib.SequenceMatcher(None, code.partition("\n")[0], first_line, autojunk=False).ratio()
