"""Takes a prompt apart that a client has already written with the FIM markers of a model family, as Zed does.

Elsewhere a marker is text: a file that contains ``<fim_suffix>`` does not change the form of its prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

from starcoder_ls.completion.prompt.families import FAMILIES


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """The texts on both sides of the hole."""

    prefix: str
    suffix: str


def parse_rendered_prompt(text: str) -> RenderedPrompt | None:
    """The sides of the hole if ``text`` is a FIM prompt of a known family; None if it is plain text.

    It is one if it begins with the prefix marker and has each of the three markers exactly once, in PSM order (prefix,
    suffix, middle, and nothing after the middle marker) or in SPM order of variant 2 (prefix marker, suffix marker,
    suffix, middle marker, prefix). The markers may be those of another family than the loaded model's, whose own are
    used when the prompt is built.
    """
    for prefix_mark, suffix_mark, middle_mark in _marks():
        body = text.removeprefix(prefix_mark)
        if len(body) == len(text) or any(body.count(mark) != 1 for mark in (suffix_mark, middle_mark)):
            continue
        if prefix_mark in body:
            continue
        before, _, rest = body.partition(suffix_mark)
        suffix, middle, after = rest.partition(middle_mark)
        if middle and not after:
            return RenderedPrompt(before, suffix)
        if middle and not before:
            return RenderedPrompt(after, suffix)
    return None


def _marks() -> list[tuple[str, str, str]]:
    marks = [(family.prefix, family.suffix, family.middle) for family in FAMILIES]
    # Code Llama's markers are written with blanks, which its tokenizer stores as "▁".
    return list(dict.fromkeys([*marks, ("<PRE> ", " <SUF>", " <MID>")]))
