from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fake_vllm import FakeVllm, serving
from fakes import ScriptedEngine
from remote_engines import ready_engine, running, settings_for
from starcoder_ls.evaluation.adapter_parity import PROMPTS, Parity, compare_adapter


def parity_of(fake: FakeVllm, folder: Path, reference: str | None = None) -> Parity:
    with serving(fake), ready_engine(settings_for(fake.url, folder)) as engine:
        if reference is None:
            return asyncio.run(compare_adapter(engine, "style"))
        local = ScriptedEngine([[reference]])
        with running(local):
            return asyncio.run(compare_adapter(engine, "style", local))


def test_adapter_without_effect_is_found_though_the_server_lists_it(tmp_path: Path) -> None:
    parity = parity_of(FakeVllm(lambda _: "the same", adapters=("style",)), tmp_path)
    assert (parity.is_passed, parity.different_from_base) == (False, 0)
    assert parity.describe().startswith("NOT APPLIED")


@pytest.mark.parametrize(("reference", "is_passed"), [("of style", True), ("of another", False)])
def test_answers_are_compared_with_the_adapter_here(tmp_path: Path, reference: str, is_passed: bool) -> None:
    fake = FakeVllm(lambda model: f"of {model}", adapters=("style",), logprob=0.0)
    parity = parity_of(fake, tmp_path, reference)
    assert (parity.is_passed, parity.different_from_base) == (is_passed, len(PROMPTS))
    assert parity.equal == (len(PROMPTS) if is_passed else 0)
    assert parity.describe().startswith("equal" if is_passed else "NOT EQUAL")


def test_equal_text_of_another_probability_does_not_pass(tmp_path: Path) -> None:
    fake = FakeVllm(lambda model: f"of {model}", adapters=("style",), logprob=-0.25)
    assert not parity_of(fake, tmp_path, "of style").is_passed


def test_without_an_adapter_here_only_the_base_is_compared(tmp_path: Path) -> None:
    parity = parity_of(FakeVllm(adapters=("style",)), tmp_path)
    assert (parity.is_passed, parity.equal, len(set(PROMPTS))) == (True, None, 32)
    assert "not compared" in parity.describe()
