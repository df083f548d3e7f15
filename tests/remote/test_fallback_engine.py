from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fake_vllm import FakeVllm, Fault, serving
from fakes import FakeClock, ScriptedEngine
from remote_engines import answer_of, chunks_of, running, settings_for
from starcoder_ls.errors import EngineUnreachable
from starcoder_ls.generation import FinishReason, Phase, Request, SpecialToken
from starcoder_ls.remote.circuit_breaker import FIRST_DELAY_S, CircuitBreaker
from starcoder_ls.remote.fallback_engine import FallbackEngine
from starcoder_ls.remote.remote_engine import RemoteEngine

REQUEST = Request(("def f():\n",), 50)


def until_line_end(text: str) -> int | None:
    return text.index("\n") if "\n" in text else None


@contextmanager
def engines(
    fake: FakeVllm, folder: Path, local: ScriptedEngine, clock: FakeClock | None = None
) -> Iterator[FallbackEngine]:
    breaker = CircuitBreaker((clock or FakeClock()).monotonic)
    engine = FallbackEngine(RemoteEngine(settings_for(fake.url, folder), token_timeout_s=60.0, breaker=breaker), local)
    with running(engine._remote), running(local):
        yield engine


def test_server_answers_as_long_as_it_can(tmp_path: Path) -> None:
    local = ScriptedEngine()
    with serving(FakeVllm()) as fake, engines(fake, tmp_path, local) as engine:
        assert answer_of(engine, REQUEST) == "answer of coder"
        assert (engine.status().model, local.all_requests) == ("coder", [])
        assert engine.count_tokens("def f():") > 0


@pytest.mark.parametrize("has_stop_rule", [True, False])
def test_answer_that_breaks_off_is_continued_without_loss_or_repetition(tmp_path: Path, has_stop_rule: bool) -> None:
    local = ScriptedEngine([["LOCAL", "\n", "more"]])
    with (
        serving(FakeVllm(lambda _: "remote = value + other\n", fault=Fault(tokens=3))) as fake,
        engines(fake, tmp_path, local) as engine,
    ):
        request = replace(REQUEST, prefix_parts=(0,), stop=until_line_end if has_stop_rule else None)
        chunks = asyncio.run(chunks_of(engine, request))
    (continued,) = local.all_requests
    started = str(continued.parts[0]).removeprefix("def f():\n")
    assert started
    assert "remote = value + other\n".startswith(started)
    text = "".join(chunk.text for chunk in chunks)
    assert text == started + ("LOCAL" if has_stop_rule else "LOCAL\nmore")
    assert continued.max_new_tokens < REQUEST.max_new_tokens
    assert [chunk.timings is not None for chunk in chunks].count(True) == 1


def test_rule_that_cuts_into_the_first_part_cuts_the_whole_text(tmp_path: Path) -> None:
    local = ScriptedEngine([["LOCAL", "\n"]])
    with (
        serving(FakeVllm(lambda _: "one two three four five six", fault=Fault(tokens=4))) as fake,
        engines(fake, tmp_path, local) as engine,
    ):
        request = replace(REQUEST, stop=lambda text: 3 if text.endswith("\n") else None)
        chunks = asyncio.run(chunks_of(engine, request))
    assert (chunks[-1].text, chunks[-1].finish_reason) == ("one", FinishReason.STOP_RULE)


def test_forced_prefix_is_part_of_the_continued_prompt(tmp_path: Path) -> None:
    local = ScriptedEngine([["LOCAL"]])
    with (
        serving(FakeVllm(lambda _: "urn value and more", fault=Fault(tokens=4))) as fake,
        engines(fake, tmp_path, local) as engine,
    ):
        request = replace(REQUEST, forced_prefix=" ret", stop=lambda _: None)
        text = answer_of(engine, request)
    assert (local.all_requests[0].forced_prefix, local.all_requests[0].parts[0]) == (
        "", "def f():\n ret" + text.removesuffix("LOCAL"),
    )  # fmt: skip


def test_candidates_are_generated_again_by_one_engine(tmp_path: Path) -> None:
    local = ScriptedEngine([["A"], ["B"]])
    with (
        serving(FakeVllm(fault=Fault(tokens=2))) as fake,
        engines(fake, tmp_path, local) as engine,
    ):
        chunks = asyncio.run(chunks_of(engine, replace(REQUEST, candidates=2, stop=lambda _: None)))
    texts = {number: "".join(c.text for c in chunks if c.candidate == number) for number in (0, 1)}
    assert texts == {0: "A", 1: "B"}


def test_local_model_answers_until_the_server_is_found_again(tmp_path: Path) -> None:
    clock, local = FakeClock(), ScriptedEngine([["LOCAL"]])
    with (
        serving(FakeVllm(fault=Fault(status=500))) as fake,
        engines(fake, tmp_path, local, clock) as engine,
    ):
        assert [answer_of(engine, REQUEST) for _ in range(4)] == ["LOCAL"] * 4
        assert len(fake.completions) == 2
        status = engine.status()
        assert status.model == "scripted"
        assert status.message.endswith("The local model answers.")
        fake.fault = None
        clock.advance(FIRST_DELAY_S)
        answers = [answer_of(engine, REQUEST)]
        while answers[-1] == "LOCAL":
            answers.append(answer_of(engine, REQUEST))
        assert answers[-1] == "answer of coder"
        assert engine.status().model == "coder"


def test_prompt_of_another_family_is_made_again_for_the_local_model(tmp_path: Path) -> None:
    local = ScriptedEngine([["LOCAL"]])
    with (
        serving(FakeVllm(fault=Fault(status=500))) as fake,
        engines(fake, tmp_path, local) as engine,
    ):
        with pytest.raises(EngineUnreachable):
            answer_of(engine, replace(REQUEST, parts=(SpecialToken("<reponame>"), "x")))
        assert engine.status().model == "scripted"
        assert answer_of(engine, REQUEST) == "LOCAL"


def test_status_is_that_of_the_engine_that_answers(tmp_path: Path) -> None:
    local = ScriptedEngine(failure="No room.")
    with serving(FakeVllm()) as fake:
        url = fake.url
    engine = FallbackEngine(RemoteEngine(settings_for(url, tmp_path), is_patient=False), local)
    with running(engine._remote), running(local):
        assert (engine.status().phase, "cannot be reached" in engine.status().message) == (Phase.FAILED, True)
