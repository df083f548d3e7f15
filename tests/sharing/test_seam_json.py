from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

from starcoder_ls import errors
from starcoder_ls.generation import (
    AdapterStatus,
    Chunk,
    Finish,
    Phase,
    Priority,
    Request,
    Sampling,
    Special,
    Status,
    Timings,
)
from starcoder_ls.sharing import seam_json


def said(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_a_request_comes_back_as_it_was_but_for_its_stop_rule_and_flag() -> None:
    request = Request(
        parts=(Special("<fim_prefix>"), "<fim_prefix> in a file"),
        max_new_tokens=7,
        continued=(1,),
        opening="o",
        end_tokens=(Special("<e>"),),
        candidates=3,
        sampling=Sampling(0.5, 0.9, 11),
        evidence=("other",),
        adapter="a",
        priority=Priority.EXPLANATION,
        deadline_s=time.monotonic() + 60,
        document="d",
        client="c",
    )
    back = seam_json.request_of(said(seam_json.request_as_json(request)))
    assert abs((back.deadline_s or 0) - (request.deadline_s or 0)) < 1
    for field in dataclasses.fields(Request):
        if field.name not in ("stop", "cancel", "deadline_s"):
            assert getattr(back, field.name) == getattr(request, field.name), field.name


def test_chunks_and_the_status_come_back_as_they_were() -> None:
    for chunk in (Chunk("x", (1, 2), -0.5, 1), Chunk("", finish=Finish.STOP_RULE, timings=Timings(prompt_tokens=3))):
        assert seam_json.chunk_of(said(dataclasses.asdict(chunk))) == chunk
    status = Status(Phase.READY, "m", special_tokens=frozenset({"<a>", "<b>"}), adapters=(AdapterStatus("n", "LORA"),))
    assert seam_json.status_of(said(seam_json.status_as_json(status))) == status


def test_an_error_comes_back_as_the_same_kind_and_a_strange_one_as_the_engine_s() -> None:
    back = seam_json.error_of(said(seam_json.error_as_json(errors.PromptTooLong("Too long."))))
    assert (type(back), str(back)) == (errors.PromptTooLong, "Too long.")
    assert type(seam_json.error_of(["annotations", "?"])) is errors.EngineError
