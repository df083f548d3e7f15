from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.completion.prompt.families import FAMILIES
from starcoder_ls.http_api.rendered_prompt import RenderedPrompt, parse_rendered_prompt

PLAIN = st.text(st.characters(exclude_characters="<|"), max_size=30)


@given(st.sampled_from(FAMILIES), PLAIN, PLAIN)
def test_prompts_of_all_families_in_both_orders_are_taken_apart(family: object, prefix: str, suffix: str) -> None:
    first, second, third = (getattr(family, name) for name in ("prefix", "suffix", "middle"))
    expected = RenderedPrompt(prefix, suffix)
    assert parse_rendered_prompt(f"{first}{prefix}{second}{suffix}{third}") == expected
    if prefix:
        assert parse_rendered_prompt(f"{first}{second}{suffix}{third}{prefix}") == expected


def test_code_llama_as_zed_writes_it() -> None:
    assert parse_rendered_prompt("<PRE> a = <SUF>\nb <MID>") == RenderedPrompt("a =", "\nb")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x = 1",
        "<fim_prefix>a",
        "<fim_prefix>a<fim_middle>b<fim_suffix>",
        "<fim_suffix>a<fim_prefix>b<fim_middle>",
        " <fim_prefix>a<fim_suffix>b<fim_middle>",
        "<fim_prefix>a<fim_suffix>b<fim_suffix>c<fim_middle>",
        "<fim_prefix>a<fim_prefix><fim_suffix>b<fim_middle>",
        "<fim_prefix>a<fim_suffix>b<fim_middle>c",
        "<fim_prefix>a<fim_suffix>b<fim_middle><fim_middle>",
        "<fim_prefix>a<fim-suffix>b<fim_middle>",
    ],
)
def test_other_text_is_plain(text: str) -> None:
    assert parse_rendered_prompt(text) is None
