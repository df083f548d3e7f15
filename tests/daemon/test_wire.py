from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

from starcoder_ls import errors
from starcoder_ls.daemon import wire
from starcoder_ls.generation import (
    AdapterStatus,
    Capabilities,
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


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_request_round_trip_keeps_all_but_stop_rule_and_cancel_flag() -> None:
    request = Request(
        parts=(SpecialToken("<fim_prefix>"), "<fim_prefix> in a file"),
        max_new_tokens=7,
        prefix_parts=(1,),
        forced_prefix="o",
        end_tokens=(SpecialToken("<e>"),),
        candidates=3,
        sampling=Sampling(0.5, 0.9, 11),
        lookup_text=("other",),
        prediction="p",
        adapter="a",
        priority=Priority.EXPLANATION,
        deadline_s=time.monotonic() + 60,
        document="d",
        client="c",
    )
    before_s = time.monotonic()
    decoded = wire.decode_request(through_json(wire.encode_request(request)))
    elapsed_s = time.monotonic() - before_s
    assert request.deadline_s is not None
    assert decoded.deadline_s is not None
    assert -1e-6 <= decoded.deadline_s - request.deadline_s <= elapsed_s + 1e-6
    for field in dataclasses.fields(Request):
        if field.name not in ("stop", "cancel", "deadline_s"):
            assert getattr(decoded, field.name) == getattr(request, field.name), field.name


def test_chunk_and_status_round_trip_unchanged() -> None:
    for chunk in (
        Chunk("x", (1, 2), -0.5, 1),
        Chunk("", finish_reason=FinishReason.STOP_RULE, timings=Timings(prompt_tokens=3)),
    ):
        assert wire.decode_chunk(through_json(wire.encode_chunk(chunk))) == chunk
    status = Status(
        Phase.READY,
        "m",
        special_tokens=frozenset({"<a>", "<b>"}),
        adapters=(AdapterStatus("n", "LORA"),),
        missing_adapters=("a",),
        capabilities=Capabilities(document_ngrams=False, prefill_delay_s=None),
    )
    assert wire.decode_status(through_json(wire.encode_status(status))) == status


def test_error_round_trip_keeps_the_class_if_it_is_known() -> None:
    decoded = wire.decode_error(through_json(wire.encode_error(errors.PromptTooLong("Too long."))))
    assert (type(decoded), str(decoded)) == (errors.PromptTooLong, "Too long.")
    assert type(wire.decode_error(["annotations", "?"])) is errors.EngineError
