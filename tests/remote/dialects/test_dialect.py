from __future__ import annotations

import pytest

from starcoder_ls.errors import AdapterInvalid
from starcoder_ls.generation import Request, Sampling
from starcoder_ls.remote.dialects.detection import DIALECTS
from starcoder_ls.remote.dialects.dialect import Dialect, PromptIds, ServerFacts


@pytest.fixture(params=sorted(DIALECTS))
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]


def facts_of(dialect: Dialect) -> ServerFacts:
    return ServerFacts(dialect, "coder", 2048, ("style", "tests"))


def prompt_of(**fields: object) -> PromptIds:
    request = Request(("x",), 8, **fields)  # type: ignore[arg-type]
    return PromptIds(request, (5, 6, 7), frozenset({0, 2}))


def test_each_candidate_belongs_to_one_call_and_the_first_is_greedy(dialect: Dialect) -> None:
    calls = dialect.calls(prompt_of(candidates=4, sampling=Sampling(0.6, 0.9, 11)), facts_of(dialect))
    covered = [call.first_candidate + index for call in calls for index in range(call.candidates)]
    assert covered == [0, 1, 2, 3]
    assert [call.body["temperature"] for call in calls] == [0.0] + [0.6] * (len(calls) - 1)


def test_prompts_are_sent_as_ids_never_as_text(dialect: Dialect) -> None:
    prompt, facts = prompt_of(document="file:///secret.py", client="me"), facts_of(dialect)
    for call in (*dialect.calls(prompt, facts), dialect.prefill_call(prompt, facts)):
        assert call.body["prompt"] == [5, 6, 7]
        assert "secret" not in str(call.body)


def test_unknown_adapter_is_refused_before_anything_is_sent(dialect: Dialect) -> None:
    with pytest.raises(AdapterInvalid, match="no adapter other"):
        dialect.calls(prompt_of(adapter="other"), facts_of(dialect))


def test_single_candidate_keeps_the_sampling_of_its_request(dialect: Dialect) -> None:
    (call,) = dialect.calls(prompt_of(sampling=Sampling(0.7, 0.8, 3)), facts_of(dialect))
    assert (call.body["temperature"], call.body["top_p"], call.body["seed"]) == (0.7, 0.8, 3)
