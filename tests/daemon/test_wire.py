from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

from starcoder_ls import errors
from starcoder_ls.daemon import wire
from starcoder_ls.generation import (
    AdapterStatus,
    Chunk,
    FinishReason,
    Phase,
    Priority,
    Request,
    Sampling,
    SpecialToken,
    Status,
    Timings,
)


def said(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_a_request_comes_back_as_it_was_but_for_its_stop_rule_and_flag() -> None:
    request = Request(
        parts=(SpecialToken("<fim_prefix>"), "<fim_prefix> in a file"),
        max_new_tokens=7,
        prefix_parts=(1,),
        forced_prefix="o",
        end_tokens=(SpecialToken("<e>"),),
        candidates=3,
        sampling=Sampling(0.5, 0.9, 11),
        lookup_text=("other",),
        adapter="a",
        priority=Priority.EXPLANATION,
        deadline_s=time.monotonic() + 60,
        document="d",
        client="c",
    )
    back = wire.decode_request(said(wire.encode_request(request)))
    assert abs((back.deadline_s or 0) - (request.deadline_s or 0)) < 1
    for field in dataclasses.fields(Request):
        if field.name not in ("stop", "cancel", "deadline_s"):
            assert getattr(back, field.name) == getattr(request, field.name), field.name


def test_chunks_and_the_status_come_back_as_they_were() -> None:
    for chunk in (
        Chunk("x", (1, 2), -0.5, 1),
        Chunk("", finish_reason=FinishReason.STOP_RULE, timings=Timings(prompt_tokens=3)),
    ):
        assert wire.decode_chunk(said(wire.encode_chunk(chunk))) == chunk
    status = Status(Phase.READY, "m", special_tokens=frozenset({"<a>", "<b>"}), adapters=(AdapterStatus("n", "LORA"),))
    assert wire.decode_status(said(wire.encode_status(status))) == status


def test_an_error_comes_back_as_the_same_kind_and_a_strange_one_as_the_engine_s() -> None:
    back = wire.decode_error(said(wire.encode_error(errors.PromptTooLong("Too long."))))
    assert (type(back), str(back)) == (errors.PromptTooLong, "Too long.")
    assert type(wire.decode_error(["annotations", "?"])) is errors.EngineError
