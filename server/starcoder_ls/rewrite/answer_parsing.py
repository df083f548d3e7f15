"""Extracts the answer from what a model generates, and the code from an answer.

A model may repeat the prompt, ask itself the next question, or put sentences around its code. All of that is removed
here.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from starcoder_ls.errors import AnswerUnusable
from starcoder_ls.rewrite import edits, text_lines
from starcoder_ls.rewrite.markdown_parser import commonmark_parser

_SENTENCE_START = re.compile(r"(?:[A-Z][a-z']*|I|A)(?:,? \S+){2,}")
_CODE_SYMBOL = re.compile(r"[=;{}<>\[\]]|\w\(|\)$")
_LEADING_BLANKS = re.compile(r"\A(?:[ \t]*\n)*(?: (?=[^ \n]))?")  # blank lines, and the single blank after "Answer:"
_WORDS_ONLY = re.compile(r"(?:[^\W\d_][\w'’-]*[,;:]? +){3,}[\w'’-]+[.!?]?")


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block of code; ``is_closed`` is False if the answer ended inside it."""

    code: str
    is_closed: bool


def extract_answer(text: str, question_prefix: str, question_suffix: str, code: str = "") -> tuple[str, bool]:
    """The answer in the generated ``text``, and whether it has ended because the model asks itself another question.

    ``question_prefix`` and ``question_suffix`` are the template's text around a question. If the model begins by
    repeating the question, its answer follows the second suffix; a repetition of ``code`` is removed as well.
    """
    answer, stripped = text, text.lstrip()
    repeats_question = stripped.startswith(question_prefix) or (stripped and question_prefix.startswith(stripped))
    if question_prefix and repeats_question:
        _, suffix, answer = stripped.partition(f"\n{question_suffix}")
        if not suffix:
            return "", False
    answer = _LEADING_BLANKS.sub("", answer)
    if question_prefix and (end := re.search(rf"(?m)^[ \t]*{re.escape(question_prefix)}", answer)):
        return answer[: end.start()].strip("\r\n"), True
    code = code.strip()
    if code and answer.lstrip().startswith(code):
        rest = answer.lstrip()[len(code) :]
        if rest.startswith("\n") and rest.strip():
            answer = rest
    return answer.strip("\r\n"), False


def hold_back_question(answer: str, question_prefix: str) -> str:
    """A partial ``answer`` without a last line that may turn out to be the beginning of another question."""
    last_line = answer.rpartition("\n")[2].lstrip()
    may_be_question = last_line and question_prefix.startswith(last_line)
    return answer[: len(answer) - len(last_line)].rstrip() if may_be_question else answer


def find_fences(answer: str) -> list[Fence]:
    """All fenced blocks, including one without an end."""
    lines = answer.split("\n")
    fences = []
    for token in commonmark_parser().parse(answer):
        if token.type == "fence" and token.map is not None:
            first, after = token.map
            last_line = lines[min(after, len(lines)) - 1].strip()
            is_mark = set(last_line) == {token.markup[0]} and len(last_line) >= len(token.markup)
            fences.append(Fence(token.content.removesuffix("\n"), after - first > 1 and is_mark))
    return fences


def extract_code(answer: str, original: str, is_cut: bool) -> str:
    """The code in ``answer`` that is to replace ``original``; ``is_cut`` if the answer did not end by itself.

    Of several fenced blocks it is the one most similar to ``original`` that is not identical to it: the others quote
    the original or show how it is used. Raises AnswerUnusable if the answer has no code, or no complete code.
    """
    if not answer.strip():
        raise AnswerUnusable("The model's answer is empty. Select other lines, or reword the instruction.")
    fences = [fence for fence in find_fences(answer) if fence.code.strip()]
    if is_cut:
        fences = [fence for fence in fences if fence.is_closed]
        if not fences:
            raise AnswerUnusable(
                "The answer was cut before its code ended. Select less, or raise `max_new_tokens` of the action."
            )
    if not fences:
        return _strip_prose(answer, original)
    changed = [fence for fence in fences if fence.code.strip() != original.strip()] or fences
    best = max(changed, key=lambda fence: _similarity(fence.code, original))
    return best.code if best.is_closed else _strip_prose(best.code, original)


def _similarity(code: str, original: str) -> tuple[float, float]:
    """By lines, then by characters regardless of their order; without an original the longest block is best."""
    if not original:
        return len(code), 0.0
    by_lines = difflib.SequenceMatcher(None, original.split("\n"), code.split("\n"), autojunk=False)
    return by_lines.ratio(), difflib.SequenceMatcher(None, original, code, autojunk=False).quick_ratio()


def _strip_prose(answer: str, original: str) -> str:
    """``answer`` without sentences before and after its code. A line of ``original`` is never taken for a sentence."""
    lines, original_lines = answer.split("\n"), {line.strip() for line in original.split("\n")}
    while lines and (text_lines.is_blank(lines[0]) or _is_prose(lines[0], original_lines)):
        lines.pop(0)
    while lines and (text_lines.is_blank(lines[-1]) or _is_prose(lines[-1], original_lines)):
        lines.pop()
    code = "\n".join(lines)
    has_only_words = all(_WORDS_ONLY.fullmatch(line.strip()) for line in lines) and _CODE_SYMBOL.search(original)
    if not lines or (has_only_words and edits.find_syntax_error(code) is not None):
        raise AnswerUnusable("The model answered in words, not in code. Ask for an explanation instead, or try again.")
    return code


def _is_prose(line: str, original_lines: set[str]) -> bool:
    """Whether ``line`` begins like a sentence at the margin, and ends like one or contains no symbols of code."""
    if line.strip() in original_lines or line[:1] in " \t" or not _SENTENCE_START.match(line):
        return line.strip() in ("Answer:", "```")
    return line.rstrip()[-1] in ".:!?" or not _CODE_SYMBOL.search(line)
