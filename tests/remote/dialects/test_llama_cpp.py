from __future__ import annotations

from starcoder_ls.generation import FinishReason, Request, Sampling
from starcoder_ls.remote.dialects.dialect import Piece, PromptIds, ServerFacts
from starcoder_ls.remote.dialects.llama_cpp import LlamaCppDialect, literal
from starcoder_ls.text_tokens.candidate import SampledToken

DIALECT = LlamaCppDialect()
FACTS = ServerFacts(DIALECT, "coder", 2048, ("style", "tests"))


def test_scale_of_every_adapter_is_explicit() -> None:
    def scales(adapter: str | None) -> list[float]:
        (call,) = DIALECT.calls(PromptIds(Request(("x",), 8, adapter=adapter), (1,)), FACTS)
        return [entry["scale"] for entry in call.body["lora"]]

    assert (scales(None), scales("tests")) == ([0.0, 0.0], [0.0, 1.0])


def test_drawn_candidates_have_different_seeds() -> None:
    request = Request(("x",), 8, candidates=3, sampling=Sampling(0.6, 0.9, 10))
    calls = DIALECT.calls(PromptIds(request, (1,)), FACTS)
    assert [call.body["seed"] for call in calls][1:] == [11, 12]


def test_forced_prefix_is_a_literal_of_the_grammar() -> None:
    (call,) = DIALECT.calls(PromptIds(Request(("x",), 8, forced_prefix=' "a\\\n'), (1,)), FACTS)
    assert call.body["grammar"] == r'root ::= " \"a\\\n" [^\x00]*'
    assert literal("é\t漢😀") == '"é\\t漢😀"'


def test_prefill_generates_nothing() -> None:
    call = DIALECT.prefill_call(PromptIds(Request(("x",), 0), (1,)), FACTS)
    assert call.body["n_predict"] == 0


def test_text_is_that_of_the_event_and_tokens_are_counted_by_the_server() -> None:
    event = {
        "content": "漢", "tokens": [9], "stop": False, "tokens_predicted": 3,
        "completion_probabilities": [{"id": 9, "logprob": -1.5}],
    }  # fmt: skip
    assert DIALECT.read_event(event) == [Piece(tokens=(SampledToken(9, -1.5),), text="漢", generated_tokens=3)]


def test_last_event_has_the_reason_and_the_reused_tokens() -> None:
    for stop_type, reason in (("eos", FinishReason.END_OF_TEXT), ("limit", FinishReason.LENGTH)):
        event = {"content": "", "tokens": [], "stop": True, "stop_type": stop_type, "timings": {"cache_n": 12}}
        assert DIALECT.read_event(event) == [Piece(text="", finish_reason=reason, reused_tokens=12)]
    assert DIALECT.read_event({"model": "x"}) == []
