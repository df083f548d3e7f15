from __future__ import annotations

import random
from typing import get_args

import pytest

from fake_vllm import BUNDLED
from starcoder_ls.completion.prompt import fim
from starcoder_ls.completion.prompt.families import FAMILIES
from starcoder_ls.context.snippets import PromptContext, Snippet
from starcoder_ls.generation import SpecialToken
from starcoder_ls.http_api.http_errors import HttpError
from starcoder_ls.http_api.token_prompt import read_token_prompt

STARCODER = FAMILIES[0]
CONTEXT = PromptContext((Snippet("tool.py", "def triple(x):\n    return 3 * x\n"),), 20)


@pytest.mark.parametrize("order", get_args(fim.Order))
@pytest.mark.parametrize("path", ["", "app.py"])
@pytest.mark.parametrize("context", [PromptContext((), 0), CONTEXT])
@pytest.mark.parametrize("before", ["", "\n\nimport os\n\n\ndef double(x):\n    re", "    \n  x = é漢😀", "\t"])
def test_ids_of_a_prompt_become_parts_with_the_same_ids(
    order: fim.Order, path: str, context: PromptContext, before: str
) -> None:
    written = fim.build_parts(
        STARCODER, BUNDLED.special_tokens, before, "\n\nprint(1)\n", path, order, context, "python"
    )
    ids = BUNDLED.encode(written.parts)
    prompt = read_token_prompt(BUNDLED, STARCODER, ids)
    assert BUNDLED.encode(prompt.parts) == ids
    continued = "".join(str(prompt.parts[at]) for at in prompt.prefix_parts)
    expected = "".join(str(written.parts[at]) for at in written.prefix_parts)
    assert continued.endswith(expected)
    assert "print(1)" not in continued


def test_prompt_without_a_hole_is_continued_at_its_end() -> None:
    ids = BUNDLED.encode([SpecialToken("<|endoftext|>"), "x = <fim_suffix>"])
    prompt = read_token_prompt(BUNDLED, STARCODER, ids)
    assert prompt.parts == (SpecialToken("<|endoftext|>"), "x = <fim_suffix>"), "the marker is text, as it was"
    assert prompt.prefix_parts == (1,)
    assert read_token_prompt(BUNDLED, None, BUNDLED.encode(["a"])).prefix_parts == (0,)


def test_ids_of_no_text_are_refused() -> None:
    rng = random.Random(5)
    for ids in ([rng.randrange(1000, 8000) for _ in range(400)], [*BUNDLED.encode(["漢"])[:1], 300], [999_999]):
        with pytest.raises(HttpError, match="not those of a text"):
            read_token_prompt(BUNDLED, STARCODER, ids)
