"""A real vLLM server with the bundled model and two adapters, beside the same model in this process.

    VLLM_COMMAND=/path/to/vllm pytest -m servers tests/e2e/test_remote_vllm.py

It also compares the server with the fake that the other tests use.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

import starcoder_ls
from fake_vllm import BUNDLED as TOKENIZER
from fake_vllm import TOKEN, FakeVllm, serving
from lib.vllm_server import running_vllm
from remote_engines import (
    FORCED_BEGINNINGS,
    WAIT_S,
    check_candidates,
    check_forced_beginning,
    cursors,
    ready_engine,
    running,
    settings_for,
    suggestions_at,
    write_token,
)
from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.evaluation.adapter_parity import PROMPTS, compare_adapter
from starcoder_ls.generation import Engine, FinishReason, Phase, Request
from starcoder_ls.remote.dialects.vllm import escape
from starcoder_ls.remote.http_errors import error_of_response
from starcoder_ls.remote.remote_engine import RemoteEngine
from starcoder_ls.settings import Adapter, InlineCompletion, Model, Settings
from vllm_server import COMMAND, needs_vllm

pytestmark = [pytest.mark.servers, needs_vllm]

BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"
INLINE = InlineCompletion(budget_ms=120_000, max_new_tokens=16)
CURSORS = 20
TARGETS = {"attention": ["c_attn"], "projection": ["attn.c_proj", "mlp.c_proj"]}
PATHS = ("/v1/models", "/v1/completions", "/v1/nothing", "/nothing", "/health", "/metrics", "/version")
CANCELLATIONS, MAX_WASTED_TOKENS = 5, 3


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random LoRA weights for some layers of the bundled model."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
    folder = tmp_path_factory.mktemp("adapters")
    torch.manual_seed(1)
    for name, targets in TARGETS.items():
        base = AutoModelForCausalLM.from_pretrained(BUNDLED, dtype=torch.float32)
        config = LoraConfig(r=8, lora_alpha=32, target_modules=targets, init_lora_weights=False, task_type="CAUSAL_LM")
        get_peft_model(base, config).save_pretrained(folder / name)
    return {name: folder / name for name in TARGETS}


@pytest.fixture(scope="module")
def server(adapters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("vllm") / "log"
    with running_vllm(COMMAND, BUNDLED, "bundled", log, TOKEN, adapters) as (url, _):
        yield url


@pytest.fixture(scope="module")
def engine(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteEngine]:
    with ready_engine(settings_for(server, tmp_path_factory.mktemp("settings"))) as ready:
        yield ready


@pytest.fixture(scope="module")
def local(adapters: dict[str, Path]) -> Iterator[Engine]:
    from starcoder_ls.commands.support.engine_factory import LocalEngineFactory, loaded_engine

    settings = Settings(
        model=Model(document_ngrams="off", threads=1),
        adapters={name: Adapter(path=str(path)) for name, path in adapters.items()},
    )
    with loaded_engine(settings, LocalEngineFactory(lambda name, _: name in adapters), shows_progress=False) as loaded:
        yield loaded


def post(url: str, body: dict[str, Any], token: str = TOKEN) -> httpx2.Response:
    headers = {"authorization": f"Bearer {token}"}
    return httpx2.post(f"{url}/v1/completions", json=body, headers=headers, timeout=WAIT_S, trust_env=False)


def metric(url: str, name: str) -> float:
    text = httpx2.get(f"{url}/metrics", trust_env=False).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"vllm:{name}{{"))


def test_facts_of_the_server_are_read(engine: RemoteEngine) -> None:
    status = engine.status()
    assert (status.model, status.context_tokens, status.message) == ("bundled", 2048, "")
    assert sorted(adapter.name for adapter in status.adapters) == sorted(TARGETS)
    assert status.capabilities.forced_prefix


def test_suggestions_equal_those_of_the_model_in_this_process(engine: RemoteEngine, local: Engine) -> None:
    expected = asyncio.run(suggestions_at(local, cursors(CURSORS), INLINE))
    assert len({text for text in expected if text}) > CURSORS / 2
    assert asyncio.run(suggestions_at(engine, cursors(CURSORS), INLINE)) == expected


@pytest.mark.parametrize("forced", FORCED_BEGINNINGS)
def test_forced_beginning_has_the_answer_of_the_model_here(engine: RemoteEngine, local: Engine, forced: str) -> None:
    check_forced_beginning(engine, local, forced)


def test_candidates_differ_and_the_first_is_the_greedy_one(engine: RemoteEngine) -> None:
    check_candidates(engine)


def test_cancelled_answer_wastes_a_few_tokens(engine: RemoteEngine, server: str) -> None:
    """The median, because a busy machine delays the server's own processes for tens of tokens."""
    wasted = []
    for _ in range(CANCELLATIONS):
        wait_until_idle(server)
        before = metric(server, "generation_tokens_total")
        received = asyncio.run(tokens_until_cancelled(engine))
        wait_until_idle(server)
        wasted.append(metric(server, "generation_tokens_total") - before - received)
    assert statistics.median(wasted) <= MAX_WASTED_TOKENS, wasted


async def tokens_until_cancelled(engine: RemoteEngine) -> int:
    """How many tokens of an answer arrive that is cancelled after the fifth."""
    flag, received, reason = CancelFlag(), 0, None
    async for chunk in engine.stream(Request(("x = ",), 1500, cancel=flag)):
        received += len(chunk.token_ids)
        reason = chunk.finish_reason
        if received == 5:
            flag.set()
    assert reason is FinishReason.CANCELLED
    return received


def wait_until_idle(url: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while metric(url, "num_requests_running") or metric(url, "num_requests_waiting"):
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.02)


def test_wrong_token_is_a_setting_to_correct(server: str, tmp_path: Path) -> None:
    settings = settings_for(server, tmp_path)
    write_token(tmp_path, "wrong")
    with running(RemoteEngine(settings, is_patient=False)) as engine:
        status = engine.status()
    assert status.phase is Phase.FAILED
    assert "refuses the token" in status.message


BODY: dict[str, Any] = {"model": "bundled", "prompt": TOKENIZER.encode(["def f("]), "max_tokens": 4}
SPLIT = {"structured_outputs": {"regex": "漢😀é"}, "return_token_ids": True, "max_tokens": 40}
CASES: dict[str, dict[str, Any]] = {
    "unknown model": {"model": "other"},
    "long prompt": {"prompt": TOKENIZER.encode(["word "]) * 3000},
    "full prompt": {"prompt": TOKENIZER.encode(["a\n"]) * 1024},
    "empty prompt": {"prompt": []},
    "id out of vocabulary": {"prompt": [999_999]},
    "no tokens": {"max_tokens": 0},
    "no candidates": {"n": 0},
    "too many tokens": {"prompt": TOKENIZER.encode(["a\n"]) * 600, "max_tokens": 2000},
    "text": {"prompt": "def f("},
    "unknown field": {"something": 1},
    "answer": {"return_token_ids": True, "logprobs": 0},
    "forced": {"return_token_ids": True, "structured_outputs": {"regex": escape("x_1 = ")}, "max_tokens": 40},
    "split characters": SPLIT,
    "half of a character": SPLIT | {"max_tokens": 2},
}


@pytest.mark.parametrize("case", CASES)
def test_fake_answers_as_the_server_does(server: str, case: str) -> None:
    fake = FakeVllm(lambda _: "answer", model="bundled")
    with serving(fake):
        real, other = post(server, BODY | CASES[case]), post(fake.url, BODY | CASES[case])
    assert real.status_code == other.status_code, real.text
    if real.status_code != httpx2.codes.OK:
        errors = [error_of_response(each.status_code, each.text, each.headers, "host") for each in (real, other)]
        assert type(errors[0]) is type(errors[1]), real.text
        messages = [each.json()["error"]["message"].partition(" (")[0] for each in (real, other)]
        assert messages[0] == messages[1]
        return
    choices = [each.json()["choices"][0] for each in (real, other)]
    assert set(choices[1]) <= set(choices[0])
    assert [type(choices[1][key]) for key in choices[1]] == [type(choices[0][key]) for key in choices[1]]
    if "structured_outputs" in CASES[case]:
        assert choices[0]["text"] == choices[1]["text"]


def test_paths_and_bodies_have_the_same_status_at_the_fake(server: str) -> None:
    def statuses(url: str) -> list[int]:
        with httpx2.Client(base_url=url, trust_env=False, timeout=WAIT_S) as client:
            right = {"authorization": f"Bearer {TOKEN}"}
            answers = [client.get(path, headers=headers) for path in PATHS for headers in ({}, right)]
            answers.append(client.post("/v1/completions", content=b"{", headers=right))
        return [answer.status_code for answer in answers]

    with serving(FakeVllm(open_paths=("/metrics", "/version"))) as fake:
        assert statuses(fake.url) == statuses(server)


@pytest.mark.parametrize("changes", [{"max_tokens": 3}, SPLIT, {"return_token_ids": False}], ids=str)
def test_events_of_the_fake_have_the_form_of_the_servers(server: str, changes: dict[str, Any]) -> None:
    body = BODY | {"stream": True, "return_token_ids": True, "logprobs": 0, "n": 1, "temperature": 0.0,
                   "skip_special_tokens": False} | changes  # fmt: skip
    with serving(FakeVllm(lambda _: "answer", model="bundled")) as fake:
        events = [[line for line in post(url, body).text.split("\n") if line] for url in (server, fake.url)]
    for lines in events:
        assert lines.pop() == "data: [DONE]"
    real, other = ([json.loads(line.removeprefix("data: "))["choices"][0] for line in lines] for lines in events)
    assert set(other[0]) <= set(real[0])
    for choices in (real, other):
        assert [choice["finish_reason"] for choice in choices[:-1]] == [None] * (len(choices) - 1)
        assert {len(choice["logprobs"]["token_logprobs"]) for choice in choices} == {1}
        if not body["return_token_ids"]:
            assert {choice["token_ids"] for choice in choices} == {None}
            continue
        state = TOKENIZER.initial_state()
        for choice in choices:  # a character has its text at its last token
            (id_,) = choice["token_ids"]
            before, state = state, TOKENIZER.append_token(state, id_)
            assert state.text == before.text + choice["text"]


def test_adapter_on_c_attn_is_dropped_and_one_on_c_proj_is_exact(engine: RemoteEngine, local: Engine) -> None:
    projection = asyncio.run(compare_adapter(engine, "projection", local))
    assert (projection.equal, projection.is_passed) == (len(PROMPTS), True)
    attention = asyncio.run(compare_adapter(engine, "attention", local))
    assert (attention.different_from_base, attention.is_passed) == (0, False)
    assert attention.describe().startswith("NOT APPLIED")
