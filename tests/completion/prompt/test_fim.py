import pytest

from starcoder_ls.completion.prompt import fim
from starcoder_ls.context.snippets import PromptContext, Snippet
from starcoder_ls.errors import ModelUnsupported
from starcoder_ls.generation import SpecialToken

STARCODER = frozenset(
    {"<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<filename>", "<reponame>"}
)
STARCODER2 = frozenset(
    {"<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<repo_name>", "<file_sep>"}
)
SANTACODER = frozenset({"<|endoftext|>", "<fim-prefix>", "<fim-middle>", "<fim-suffix>", "<fim-pad>"})
QWEN = frozenset({"<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|file_sep|>", "<|im_end|>"})
DEEPSEEK = frozenset({"<｜begin▁of▁sentence｜>", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"})
CODE_LLAMA = frozenset({"<s>", "▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"})


@pytest.mark.parametrize(
    ("inventory", "name"),
    [
        (STARCODER, "starcoder"),
        (STARCODER2, "starcoder2"),
        (SANTACODER, "santacoder"),
        (QWEN, "qwen2.5-coder"),
        (DEEPSEEK, "deepseek-coder"),
        (CODE_LLAMA, "code-llama"),
    ],
)
def test_family_is_told_by_the_tokens_a_checkpoint_has(inventory: frozenset[str], name: str) -> None:
    assert fim.family_of(inventory).name == name


def test_model_without_infilling_is_refused_with_the_way_out() -> None:
    with pytest.raises(ModelUnsupported, match="StarCoder2"):
        fim.family_of(frozenset({"<|endoftext|>"}))


def built(inventory: frozenset[str], order: fim.Order | None = None, path: str = "") -> list[str]:
    """Parts as text, special tokens in brackets."""
    made = fim.fim_parts(fim.family_of(inventory), inventory, "PRE", "SUF", path, order)
    return [f"[{part.literal}]" if isinstance(part, SpecialToken) else part for part in made.parts]


def test_starcoder_reads_the_suffix_first_by_spm_variant_2() -> None:
    assert built(STARCODER) == ["[<fim_prefix>]", "[<fim_suffix>]", "SUF", "[<fim_middle>]", "PRE"]


def test_starcoder_reads_psm_where_asked() -> None:
    assert built(STARCODER, "psm") == ["[<fim_prefix>]", "PRE", "[<fim_suffix>]", "SUF", "[<fim_middle>]"]


def test_file_name_stands_inside_the_prefix_as_in_training() -> None:
    spm = ["[<fim_prefix>]", "[<fim_suffix>]", "SUF", "[<fim_middle>]", "[<filename>]", "a/b.py\n", "PRE"]
    psm = ["[<fim_prefix>]", "[<filename>]", "a/b.py\n", "PRE", "[<fim_suffix>]", "SUF", "[<fim_middle>]"]
    assert built(STARCODER, "spm", "a/b.py") == spm
    assert built(STARCODER, "psm", "a/b.py") == psm


def test_families_without_spm_read_psm_whatever_is_asked() -> None:
    line_last = ["[<|fim_prefix|>]", "[<|fim_suffix|>]", "SUF", "[<|fim_middle|>]", "PRE"]
    assert built(QWEN, "spm") == built(QWEN) == line_last
    assert built(QWEN, "psm") == ["[<|fim_prefix|>]", "PRE", "[<|fim_suffix|>]", "SUF", "[<|fim_middle|>]"]
    assert built(DEEPSEEK)[0] == "[<｜begin▁of▁sentence｜>]"
    assert built(CODE_LLAMA)[:2] == ["[<s>]", "[▁<PRE>]"]


def test_only_end_tokens_that_the_checkpoint_has_are_asked_for() -> None:
    ends = {end.literal for end in fim.fim_parts(fim.family_of(STARCODER2), STARCODER2, "a", "b", "", None).ends}
    assert "<file_sep>" in ends
    assert ends <= STARCODER2


def test_empty_parts_are_left_out() -> None:
    made = fim.fim_parts(fim.family_of(STARCODER), STARCODER, "", "", "", None)
    assert made.parts == (SpecialToken("<fim_prefix>"), SpecialToken("<fim_suffix>"), SpecialToken("<fim_middle>"))


def test_special_tokens_in_the_document_stay_text() -> None:
    made = fim.fim_parts(fim.family_of(STARCODER), STARCODER, "x = '<fim_middle>'", "<|endoftext|>", "", None)
    assert made.parts[2] == "<|endoftext|>"
    assert made.parts[4] == "x = '<fim_middle>'"


@pytest.mark.parametrize("inventory", [STARCODER, QWEN, DEEPSEEK])
@pytest.mark.parametrize("order", ["spm", "psm"])
@pytest.mark.parametrize("path", ["", "a.py"])
@pytest.mark.parametrize("suffix", ["", "SUF"])
def test_prompt_says_which_part_the_answer_continues(
    inventory: frozenset[str], order: fim.Order, path: str, suffix: str
) -> None:
    made = fim.fim_parts(fim.family_of(inventory), inventory, "PRE", suffix, path, order)
    assert [made.parts[at] for at in made.prefix_parts] == ["PRE"]
    assert "" not in made.parts
    assert fim.fim_parts(fim.family_of(inventory), inventory, "", suffix, path, order).prefix_parts == ()


def test_the_cursors_line_stands_behind_all_other_text() -> None:
    family = fim.family_of(STARCODER)
    made = fim.fim_parts(family, STARCODER, "one\ntwo\n  thr", "SUF", "", "psm_line")
    marks = [SpecialToken(f"<fim_{name}>") for name in ("prefix", "suffix", "middle")]
    assert made.parts == (marks[0], "one\ntwo\n", marks[1], "SUF", marks[2], "  thr")
    assert made.prefix_parts == (1, 5)
    assert fim.fim_parts(family, STARCODER, "one\n", "SUF", "", "psm_line").prefix_parts == (1,)
    alone = fim.fim_parts(family, STARCODER, "thr", "", "a.py", "psm_line")
    assert [alone.parts[at] for at in alone.prefix_parts] == ["thr"]


AROUND = PromptContext((Snippet("a.py", "one = 1"), Snippet("b.py", "two = 2")), tokens=20, repository="acme")
REPO_QWEN = QWEN | {"<|repo_name|>"}


def beside(inventory: frozenset[str], order: fim.Order | None = None) -> list[str]:
    """As ``built``, with snippets of two other files."""
    family = fim.family_of(inventory)
    made = fim.fim_parts(family, inventory, "PRE", "SUF", "src/x.py", order, AROUND, "python")
    (at,) = made.prefix_parts
    assert made.parts[at] in ("PRE", "src/x.py\nPRE", "src/x.py\n")
    return [f"[{part.literal}]" if isinstance(part, SpecialToken) else part for part in made.parts]


COMMENTS = "# a.py:\n# one = 1\n# b.py:\n# two = 2\n"


def test_starcoder_reads_other_files_as_comments_behind_the_files_name() -> None:
    head = ["[<fim_prefix>]", "[<fim_suffix>]", "SUF", "[<fim_middle>]"]
    assert beside(STARCODER) == [*head, "[<filename>]", "src/x.py\n", COMMENTS, "PRE"]
    assert beside(STARCODER, "psm")[:5] == ["[<fim_prefix>]", "[<filename>]", "src/x.py\n", COMMENTS, "PRE"]


def test_starcoder2_reads_a_repository_with_the_files_path_inside_the_prefix() -> None:
    files = [
        "[<repo_name>]",
        "acme",
        "[<file_sep>]",
        "a.py\none = 1\n",
        "[<file_sep>]",
        "b.py\ntwo = 2\n",
        "[<file_sep>]",
    ]
    fim = ["[<fim_prefix>]", "[<fim_suffix>]", "SUF", "[<fim_middle>]"]
    assert beside(STARCODER2) == [*files, *fim, "src/x.py\n", "PRE"]


def test_qwen_reads_a_repository_with_the_files_path_before_the_prefix() -> None:
    files = ["[<|repo_name|>]", "acme\n", "[<|file_sep|>]", "a.py\none = 1\n", "[<|file_sep|>]", "b.py\ntwo = 2\n"]
    fim = ["[<|fim_prefix|>]", "PRE", "[<|fim_suffix|>]", "SUF", "[<|fim_middle|>]"]
    assert beside(REPO_QWEN, "psm") == [*files, "[<|file_sep|>]", "src/x.py\n", *fim]


@pytest.mark.parametrize("inventory", [SANTACODER, DEEPSEEK, CODE_LLAMA, QWEN])
def test_others_read_comments_before_the_prefix(inventory: frozenset[str]) -> None:
    parts = beside(inventory, "psm")
    assert parts[parts.index("PRE") - 1] == COMMENTS


@pytest.mark.parametrize("inventory", [STARCODER, STARCODER2, SANTACODER, REPO_QWEN, DEEPSEEK, CODE_LLAMA])
def test_without_snippets_nothing_changes(inventory: frozenset[str]) -> None:
    family = fim.family_of(inventory)
    bare = fim.fim_parts(family, inventory, "PRE", "SUF", "x.py", None)
    assert (
        fim.fim_parts(family, inventory, "PRE", "SUF", "x.py", None, PromptContext(repository="acme"), "python") == bare
    )
