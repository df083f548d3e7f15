from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fake_vllm import BUNDLED, FakeVllm, Fault, serving
from fakes import FakeClock
from remote_engines import WAIT_S, answer_of, chunks_of, ready_engine, running, settings_for
from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.errors import (
    AdapterInvalid,
    EngineBusy,
    EngineClosed,
    EngineError,
    EngineNotReady,
    EngineUnreachable,
    PromptTooLong,
)
from starcoder_ls.generation import FinishReason, Phase, Request, Sampling, SpecialToken
from starcoder_ls.remote.circuit_breaker import FIRST_DELAY_S, CircuitBreaker
from starcoder_ls.remote.remote_engine import RemoteEngine
from starcoder_ls.settings import Adapter, InlineCompletion

REQUEST = Request(("def f():\n",), 50)


def test_ids_go_out_and_split_characters_come_back_whole(tmp_path: Path) -> None:
    text = "é = '漢😀'\n"
    with serving(FakeVllm(lambda _: text)) as fake, ready_engine(settings_for(fake.url, tmp_path)) as engine:
        chunks = asyncio.run(chunks_of(engine, REQUEST))
        assert "".join(chunk.text for chunk in chunks) == text
        assert [id_ for chunk in chunks for id_ in chunk.token_ids] == BUNDLED.encode([text])
        assert fake.completions[0]["prompt"] == BUNDLED.encode(["def f():\n"])
        assert sum(chunk.logprob for chunk in chunks) == -0.25 * len(BUNDLED.encode([text]))
        assert "漢" not in str(fake.completions)


def test_end_tokens_of_the_request_end_the_answer(tmp_path: Path) -> None:
    with (
        serving(FakeVllm(lambda _: "a = 1<fim_prefix>b = 2")) as fake,
        ready_engine(settings_for(fake.url, tmp_path)) as engine,
    ):
        request = replace(REQUEST, end_tokens=(SpecialToken("<fim_prefix>"),))
        chunks = asyncio.run(chunks_of(engine, request))
        assert "".join(chunk.text for chunk in chunks) == "a = 1"
        assert chunks[-1].finish_reason is FinishReason.END_OF_TEXT


def test_candidates_are_one_greedy_answer_and_drawn_ones(tmp_path: Path) -> None:
    with serving(FakeVllm()) as fake, ready_engine(settings_for(fake.url, tmp_path)) as engine:
        request = replace(REQUEST, candidates=3, sampling=Sampling(0.6, 0.9, 4))
        chunks = asyncio.run(chunks_of(engine, request))
        assert {chunk.candidate for chunk in chunks if chunk.finish_reason} == {0, 1, 2}
        assert sorted((body["n"], body["temperature"]) for body in fake.completions) == [(1, 0.0), (2, 0.6)]
        assert sum(chunk.timings is not None for chunk in chunks) == 1


def test_suggestion_with_a_forced_word_comes_from_one_request(tmp_path: Path) -> None:
    with (
        serving(FakeVllm(lambda _: "urn value\nprint(value)\n")) as fake,
        ready_engine(settings_for(fake.url, tmp_path)) as engine,
    ):
        code = "def f(value):\n    ret"
        (found,) = asyncio.run(suggest(engine, Cursor(code, len(code), "python"), InlineCompletion(budget_ms=60_000)))
        assert found.text == "urn value"
        assert [body["structured_outputs"]["regex"] for body in fake.completions] == [r" ret[\s\S]*"]


def test_document_and_client_leave_as_a_keyed_hash_only(tmp_path: Path) -> None:
    with serving(FakeVllm()) as fake, ready_engine(settings_for(fake.url, tmp_path)) as engine:
        for document in ("file:///home/me/a.py", "file:///home/me/a.py", "file:///home/me/b.py"):
            answer_of(engine, replace(REQUEST, document=document, client="window-1"))
        names = [headers["x-session-id"] for headers in fake.headers if "x-session-id" in headers]
        assert (names[0] == names[1], names[1] == names[2]) == (True, False)
        assert not [
            value for headers in fake.headers for value in headers.values() if "home" in value or "window" in value
        ]


def test_answer_that_is_left_or_cancelled_ends_at_the_server(tmp_path: Path) -> None:
    with serving(FakeVllm(is_endless=True)) as fake, ready_engine(settings_for(fake.url, tmp_path)) as engine:

        async def leave() -> None:
            stream = engine.stream(replace(REQUEST, max_new_tokens=1900))
            await anext(stream)
            await stream.aclose()

        asyncio.run(leave())
        assert fake.aborted.wait(WAIT_S)
        fake.aborted.clear()
        flag = CancelFlag()
        threading.Timer(0.05, flag.set).start()
        chunks = asyncio.run(chunks_of(engine, replace(REQUEST, max_new_tokens=1900, stop=lambda _: None, cancel=flag)))
        assert chunks[-1].finish_reason is FinishReason.CANCELLED
        assert fake.aborted.wait(WAIT_S)


def test_cancelled_request_ends_before_the_first_token(tmp_path: Path) -> None:
    fault = Fault(tokens=0, is_stalled=True)
    with serving(FakeVllm(fault=fault)) as fake, ready_engine(settings_for(fake.url, tmp_path)) as engine:
        flag = CancelFlag()
        threading.Timer(0.05, flag.set).start()
        (chunk,) = asyncio.run(chunks_of(engine, replace(REQUEST, cancel=flag)))
        assert (chunk.text, chunk.finish_reason) == ("", FinishReason.CANCELLED)
        assert engine.breaker.is_closed


def test_deadline_keeps_the_text_so_far(tmp_path: Path) -> None:
    fault = Fault(tokens=3, is_stalled=True)
    with (
        serving(FakeVllm(lambda _: "a = b + c", fault=fault)) as fake,
        ready_engine(settings_for(fake.url, tmp_path)) as engine,
    ):
        request = replace(REQUEST, deadline_s=time.monotonic() + 0.4, stop=lambda _: None)
        chunks = asyncio.run(chunks_of(engine, request))
        assert chunks[-1].finish_reason is FinishReason.DEADLINE
        assert "a = b + c".startswith(chunks[-1].text)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(status=401), EngineNotReady),
        (Fault(status=404, message="no such model"), EngineNotReady),
        (Fault(status=413), PromptTooLong),
        (Fault(status=400, message="maximum context length is 2048"), PromptTooLong),
        (Fault(status=429, headers="retry-after: 9\r\n"), EngineBusy),
        (Fault(status=503), EngineBusy),
        (Fault(status=500), EngineUnreachable),
        (Fault(closes_before=True), EngineUnreachable),
        (Fault(tokens=2), EngineUnreachable),
        (Fault(tokens=1, garbage=b"data: {oops\n\n"), EngineUnreachable),
        (Fault(tokens=0, garbage=b'data: {"error": {"message": "x"}}\n\n'), EngineUnreachable),
        (Fault(tokens=0, garbage=b'data: {"choices": [{"index": []}]}\n\n'), EngineUnreachable),
    ],
    ids=lambda value: str(getattr(value, "status", "") or getattr(value, "garbage", "") or value)[:40],
)
def test_fault_of_the_server_is_the_error_of_its_meaning(
    tmp_path: Path, fault: Fault, expected: type[Exception]
) -> None:
    with serving(FakeVllm(fault=fault)) as fake, ready_engine(settings_for(fake.url, tmp_path)) as engine:
        with pytest.raises(EngineError) as caught:
            answer_of(engine, REQUEST)
        assert type(caught.value) is expected


def test_request_is_repeated_once_if_nothing_was_received(tmp_path: Path) -> None:
    fault = Fault(closes_before=True, count=1)
    with serving(FakeVllm(fault=fault)) as fake, ready_engine(settings_for(fake.url, tmp_path)) as engine:
        assert answer_of(engine, REQUEST) == "answer of coder"
        assert len(fake.completions) == 2


def test_request_is_not_repeated_after_a_token(tmp_path: Path) -> None:
    fault = Fault(tokens=1, count=1)
    with serving(FakeVllm(fault=fault)) as fake, ready_engine(settings_for(fake.url, tmp_path)) as engine:
        with pytest.raises(EngineUnreachable, match=r"early|reached"):
            answer_of(engine, REQUEST)
        assert len(fake.completions) == 1


def test_breaker_stops_requests_and_a_probe_finds_the_server_again(tmp_path: Path) -> None:
    clock, fault = FakeClock(), Fault(status=500)
    with (
        serving(FakeVllm(fault=fault)) as fake,
        ready_engine(settings_for(fake.url, tmp_path), breaker=CircuitBreaker(clock.monotonic)) as engine,
    ):
        for _ in range(5):
            with pytest.raises(EngineUnreachable):
                answer_of(engine, REQUEST)
        assert len(fake.completions) == 2
        assert "failed (500)" in engine.status().message
        fake.fault = None
        clock.advance(FIRST_DELAY_S)
        assert answer_of(engine, REQUEST) == "answer of coder"
        assert engine.status().message == ""


def test_busy_server_is_left_alone_for_as_long_as_it_asks(tmp_path: Path) -> None:
    clock, fault = FakeClock(), Fault(status=429, headers="retry-after: 9\r\n", count=1)
    with (
        serving(FakeVllm(fault=fault)) as fake,
        ready_engine(settings_for(fake.url, tmp_path), breaker=CircuitBreaker(clock.monotonic)) as engine,
    ):
        for _ in range(3):
            with pytest.raises(EngineBusy) as caught:
                answer_of(engine, REQUEST)
            assert caught.value.retry_after_s == 9.0
        assert len(fake.completions) == 1
        clock.advance(9.0)
        assert answer_of(engine, REQUEST) == "answer of coder"


def test_silent_server_fails_after_the_patience_for_the_first_token(tmp_path: Path) -> None:
    fault = Fault(tokens=0, is_stalled=True)
    with (
        serving(FakeVllm(fault=fault)) as fake,
        ready_engine(settings_for(fake.url, tmp_path), token_timeout_s=0.1) as engine,
        pytest.raises(EngineUnreachable, match="no token"),
    ):
        answer_of(engine, REQUEST)


def test_silence_until_the_deadline_counts_as_a_failure(tmp_path: Path) -> None:
    fault = Fault(tokens=0, is_stalled=True)
    with serving(FakeVllm(fault=fault)) as fake, ready_engine(settings_for(fake.url, tmp_path)) as engine:
        for _ in range(2):
            (chunk,) = asyncio.run(chunks_of(engine, replace(REQUEST, deadline_s=time.monotonic() + 0.1)))
            assert chunk.finish_reason is FinishReason.DEADLINE
        assert not engine.breaker.is_closed


def test_adapters_are_chosen_by_name_and_cannot_be_loaded(tmp_path: Path) -> None:
    with serving(FakeVllm(adapters=("style",))) as fake, ready_engine(settings_for(fake.url, tmp_path)) as engine:
        assert answer_of(engine, replace(REQUEST, adapter="style")) == "answer of style"
        with pytest.raises(AdapterInvalid, match="no adapter other"):
            answer_of(engine, replace(REQUEST, adapter="other"))
        with pytest.raises(EngineError, match="cannot load"):
            asyncio.run(engine.attach("new", Adapter(path="/a")))
        with pytest.raises(EngineError, match="cannot unload"):
            asyncio.run(engine.detach("style"))


def test_prefill_reads_the_prompt_only_if_the_settings_say_so(tmp_path: Path) -> None:
    with serving(FakeVllm()) as fake:
        for prefill, expected in (("off", 0), ("idle", 1)):
            with ready_engine(settings_for(fake.url, tmp_path, prefill=prefill)) as engine:
                asyncio.run(engine.prefill(replace(REQUEST, max_new_tokens=0)))
            assert len(fake.completions) == expected


def test_closed_engine_ends_running_requests_and_refuses_others(tmp_path: Path) -> None:
    fault = Fault(tokens=0, is_stalled=True)
    with serving(FakeVllm(fault=fault)) as fake, ready_engine(settings_for(fake.url, tmp_path)) as engine:
        closing = threading.Timer(0.05, engine.close)
        closing.start()
        with pytest.raises(EngineClosed):
            answer_of(engine, REQUEST)
        with pytest.raises(EngineClosed):
            answer_of(engine, REQUEST)
        closing.join()
        assert engine.status().phase is Phase.CLOSED


def test_patient_engine_becomes_ready_when_the_server_starts(tmp_path: Path) -> None:
    with serving(FakeVllm()) as fake:
        port = int(fake.url.rpartition(":")[2])
    engine = RemoteEngine(settings_for(fake.url, tmp_path))
    loading = threading.Event()
    engine.subscribe(lambda status: loading.set() if "next attempt" in status.message else None)
    engine.start()
    assert loading.wait(WAIT_S)
    assert engine.status().phase is Phase.LOADING
    ready = threading.Event()
    engine.subscribe(lambda status: ready.set() if status.phase is Phase.READY else None)
    with serving(FakeVllm(), port=port):
        assert ready.wait(WAIT_S)
    engine.close()


def test_impatient_engine_fails_at_once_without_a_server(tmp_path: Path) -> None:
    with serving(FakeVllm()) as fake:
        pass
    engine = RemoteEngine(settings_for(fake.url, tmp_path), is_patient=False)
    with running(engine):
        assert engine.status().phase is Phase.FAILED
        assert "cannot be reached" in engine.status().message
        with pytest.raises(EngineNotReady):
            engine.count_tokens("x")


def test_engine_that_was_never_started_can_be_closed(tmp_path: Path) -> None:
    engine = RemoteEngine(settings_for("http://127.0.0.1:1", tmp_path))
    engine.close()
    engine.close()
    assert engine.status().phase is Phase.CLOSED
