from __future__ import annotations

import pytest

from fim_tokens import CODE_LLAMA, DEEPSEEK, QWEN, QWEN_WITH_REPOSITORY, SANTACODER, STARCODER, STARCODER2
from starcoder_ls.completion.prompt.families import find_family
from starcoder_ls.completion.prompt.fim import Order, PromptParts, build_parts, resolve_order
from starcoder_ls.context.snippets import NO_CONTEXT, PromptContext, Snippet
from starcoder_ls.generation import SpecialToken

CONTEXT = PromptContext((Snippet("a.py", "one = 1"), Snippet("b.py", "two = 2")), tokens=20, repository="acme")
COMMENTS = "# a.py:\n# one = 1\n# b.py:\n# two = 2\n"


def build(
    special_tokens: frozenset[str],
    order: Order | None = None,
    path: str = "",
    prefix: str = "PRE",
    suffix: str = "SUF",
    context: PromptContext = NO_CONTEXT,
) -> PromptParts:
    family = find_family(special_tokens)
    return build_parts(family, special_tokens, prefix, suffix, path, order, context, "python")


def as_text(layout: PromptParts) -> list[str]:
    """The parts as text, special tokens in brackets."""
    return [f"[{part.literal}]" if isinstance(part, SpecialToken) else part for part in layout.parts]


def parts(special_tokens: frozenset[str], order: Order | None = None, path: str = "") -> list[str]:
    return as_text(build(special_tokens, order, path))


def parts_with_snippets(special_tokens: frozenset[str], order: Order | None = None) -> list[str]:
    layout = build(special_tokens, order, "src/x.py", context=CONTEXT)
    (index,) = layout.prefix_parts
    assert layout.parts[index] == "PRE"
    return as_text(layout)


def test_starcoder_reads_suffix_first_by_spm_variant_2() -> None:
    assert parts(STARCODER) == ["[<fim_prefix>]", "[<fim_suffix>]", "SUF", "[<fim_middle>]", "PRE"]


def test_starcoder_reads_psm_if_requested() -> None:
    assert parts(STARCODER, "psm") == ["[<fim_prefix>]", "PRE", "[<fim_suffix>]", "SUF", "[<fim_middle>]"]


def test_file_name_stands_inside_the_prefix_as_in_training() -> None:
    spm = ["[<fim_prefix>]", "[<fim_suffix>]", "SUF", "[<fim_middle>]", "[<filename>]", "a/b.py\n", "PRE"]
    psm = ["[<fim_prefix>]", "[<filename>]", "a/b.py\n", "PRE", "[<fim_suffix>]", "SUF", "[<fim_middle>]"]
    assert parts(STARCODER, "spm", "a/b.py") == spm
    assert parts(STARCODER, "psm", "a/b.py") == psm


def test_families_without_spm_never_read_spm() -> None:
    line_last = ["[<|fim_prefix|>]", "[<|fim_suffix|>]", "SUF", "[<|fim_middle|>]", "PRE"]
    assert parts(QWEN, "spm") == parts(QWEN) == line_last
    assert parts(QWEN, "psm") == ["[<|fim_prefix|>]", "PRE", "[<|fim_suffix|>]", "SUF", "[<|fim_middle|>]"]
    assert parts(DEEPSEEK)[0] == "[<｜begin▁of▁sentence｜>]"
    assert parts(CODE_LLAMA)[:2] == ["[<s>]", "[▁<PRE>]"]


def test_families_without_spm_read_psm_if_no_prefix_can_be_forced() -> None:
    qwen, starcoder = find_family(QWEN), find_family(STARCODER)
    assert resolve_order(qwen, None, has_token_healing=False) == resolve_order(qwen, "spm", False) == "psm"
    assert resolve_order(qwen, "psm_line", has_token_healing=False) == "psm_line"
    assert resolve_order(starcoder, None, has_token_healing=False) == "spm"


def test_end_tokens_are_those_that_the_checkpoint_has() -> None:
    end_tokens = {token.literal for token in build(STARCODER2).end_tokens}
    assert "<file_sep>" in end_tokens
    assert end_tokens <= STARCODER2


def test_empty_parts_are_left_out() -> None:
    layout = build(STARCODER, prefix="", suffix="")
    assert as_text(layout) == ["[<fim_prefix>]", "[<fim_suffix>]", "[<fim_middle>]"]


def test_special_tokens_in_the_document_stay_text() -> None:
    layout = build(STARCODER, prefix="x = '<fim_middle>'", suffix="<|endoftext|>")
    assert layout.parts[2] == "<|endoftext|>"
    assert layout.parts[4] == "x = '<fim_middle>'"


@pytest.mark.parametrize("special_tokens", [STARCODER, QWEN, DEEPSEEK])
@pytest.mark.parametrize("order", ["spm", "psm"])
@pytest.mark.parametrize("path", ["", "a.py"])
@pytest.mark.parametrize("suffix", ["", "SUF"])
def test_prefix_parts_are_the_text_before_the_cursor(
    special_tokens: frozenset[str], order: Order, path: str, suffix: str
) -> None:
    layout = build(special_tokens, order, path, suffix=suffix)
    assert [layout.parts[index] for index in layout.prefix_parts] == ["PRE"]
    assert "" not in layout.parts
    assert build(special_tokens, order, path, prefix="", suffix=suffix).prefix_parts == ()


def test_psm_line_puts_the_cursors_line_after_all_other_text() -> None:
    layout = build(STARCODER, "psm_line", prefix="one\ntwo\n  thr")
    assert as_text(layout) == ["[<fim_prefix>]", "one\ntwo\n", "[<fim_suffix>]", "SUF", "[<fim_middle>]", "  thr"]
    assert layout.prefix_parts == (1, 5)
    assert build(STARCODER, "psm_line", prefix="one\n").prefix_parts == (1,)
    line_only = build(STARCODER, "psm_line", "a.py", prefix="thr", suffix="")
    assert [line_only.parts[index] for index in line_only.prefix_parts] == ["thr"]


def test_starcoder_reads_snippets_as_comments_after_the_file_name() -> None:
    head = ["[<fim_prefix>]", "[<fim_suffix>]", "SUF", "[<fim_middle>]"]
    assert parts_with_snippets(STARCODER) == [*head, "[<filename>]", "src/x.py\n", COMMENTS, "PRE"]
    psm = ["[<fim_prefix>]", "[<filename>]", "src/x.py\n", COMMENTS, "PRE"]
    assert parts_with_snippets(STARCODER, "psm")[:5] == psm


def test_starcoder2_reads_snippets_as_files_and_the_path_in_the_prefix() -> None:
    files = [
        "[<repo_name>]",
        "acme",
        "[<file_sep>]",
        "a.py\none = 1\n",
        "[<file_sep>]",
        "b.py\ntwo = 2\n",
        "[<file_sep>]",
    ]
    head = ["[<fim_prefix>]", "[<fim_suffix>]", "SUF", "[<fim_middle>]"]
    assert parts_with_snippets(STARCODER2) == [*files, *head, "src/x.py\n", "PRE"]


def test_qwen_reads_snippets_as_files_and_the_path_before_the_prefix() -> None:
    files = ["[<|repo_name|>]", "acme\n", "[<|file_sep|>]", "a.py\none = 1\n", "[<|file_sep|>]", "b.py\ntwo = 2\n"]
    psm = ["[<|fim_prefix|>]", "PRE", "[<|fim_suffix|>]", "SUF", "[<|fim_middle|>]"]
    expected = [*files, "[<|file_sep|>]", "src/x.py\n", *psm]
    assert parts_with_snippets(QWEN_WITH_REPOSITORY, "psm") == expected


@pytest.mark.parametrize("special_tokens", [SANTACODER, DEEPSEEK, CODE_LLAMA, QWEN])
def test_other_families_read_snippets_as_comments_before_the_prefix(special_tokens: frozenset[str]) -> None:
    found = parts_with_snippets(special_tokens, "psm")
    assert found[found.index("PRE") - 1] == COMMENTS


@pytest.mark.parametrize(
    "special_tokens", [STARCODER, STARCODER2, SANTACODER, QWEN_WITH_REPOSITORY, DEEPSEEK, CODE_LLAMA]
)
def test_context_without_snippets_changes_nothing(special_tokens: frozenset[str]) -> None:
    empty = PromptContext(repository="acme")
    assert build(special_tokens, path="x.py", context=empty) == build(special_tokens, path="x.py")
