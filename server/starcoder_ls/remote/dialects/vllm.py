"""vLLM's `/v1/completions`: OpenAI's API with token ids in both directions. Gateways in front of it speak it too.

Facts are those of vLLM 0.32; `structured_outputs.regex` forces the beginning of an answer in the same request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from starcoder_ls.errors import AdapterInvalid
from starcoder_ls.generation import GREEDY, Capabilities, FinishReason, Sampling
from starcoder_ls.remote.dialects.dialect import Call, Piece, PromptIds, ServerFacts
from starcoder_ls.text_tokens.candidate import SampledToken

COMPLETIONS = "/v1/completions"
_ANYTHING = r"[\s\S]*"


class VllmDialect:
    """``Dialect`` of vLLM."""

    name = "vLLM"
    capabilities = Capabilities(document_ngrams=False, attach=False, cache_salt=True)

    def calls(self, prompt: PromptIds, facts: ServerFacts) -> list[Call]:
        request = prompt.request
        sampling = GREEDY if request.candidates > 1 else request.sampling
        calls = [self._call(prompt, facts, sampling, 0, 1, request.max_new_tokens)]
        if request.candidates > 1:
            calls.append(self._call(prompt, facts, request.sampling, 1, request.candidates - 1, request.max_new_tokens))
        return calls

    def prefill_call(self, prompt: PromptIds, facts: ServerFacts) -> Call:
        return self._call(prompt, facts, GREEDY, 0, 1, 1)  # 0 tokens are refused

    def probe_call(self, ids: Sequence[int], text: str, max_tokens: int, facts: ServerFacts, /) -> Call:
        body = {
            "model": facts.model,
            "prompt": list(ids),
            "max_tokens": max_tokens,
            "temperature": 0.0,
            "return_token_ids": True,
        }
        return Call(COMPLETIONS, body | ({"structured_outputs": {"regex": escape(text)}} if text else {}))

    def read_event(self, event: Mapping[str, Any]) -> list[Piece]:
        pieces = []
        for choice in event.get("choices") or ():
            ids = choice.get("token_ids") or []
            logprobs = (choice.get("logprobs") or {}).get("token_logprobs") or []
            tokens = tuple(
                SampledToken(int(id_), float(logprobs[at] or 0.0) if at < len(logprobs) else 0.0)
                for at, id_ in enumerate(ids)
            )
            pieces.append(
                Piece(int(choice["index"]), tokens, finish_reason=_finish_reason(choice.get("finish_reason")))
            )
        details = (event.get("usage") or {}).get("prompt_tokens_details") or {}
        if "cached_tokens" in details:
            pieces.append(Piece(reused_tokens=int(details["cached_tokens"] or 0)))
        return pieces

    def read_probe(self, answer: Mapping[str, Any]) -> tuple[str, list[int]]:
        choice = answer["choices"][0]
        return str(choice["text"]), [int(id_) for id_ in choice["token_ids"]]

    def _call(
        self, prompt: PromptIds, facts: ServerFacts, sampling: Sampling, first: int, candidates: int, max_tokens: int
    ) -> Call:
        request = prompt.request
        if request.adapter is not None and request.adapter not in facts.adapters:
            raise AdapterInvalid(f"The server has no adapter {request.adapter}. Add it where the server is started.")
        body: dict[str, Any] = {
            "model": request.adapter or facts.model,
            "prompt": list(prompt.ids),
            "max_tokens": max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "n": candidates,
            "logprobs": 0,
            "stop_token_ids": sorted(prompt.end_ids),
            "return_token_ids": True,
            "skip_special_tokens": False,
            "stream": True,
        }
        if request.forced_prefix:
            body["structured_outputs"] = {"regex": escape(request.forced_prefix) + _ANYTHING}
        return Call(COMPLETIONS, body, first, candidates)


class StarcoderLsDialect(VllmDialect):
    """``Dialect`` of `serve --http` and of replicas of this program's engine: vLLM's API without a cache salt."""

    name = "starcoder-ls"
    capabilities = Capabilities(document_ngrams=False, attach=False)


def escape(text: str) -> str:
    """A regular expression for ``text`` that every engine reads alike: no escapes of characters that need none."""
    escaped = re.sub(r"[\\.^$*+?{}\[\]|()]", r"\\\g<0>", text)
    return escaped.replace("\n", r"\n").replace("\r", r"\r").replace("\t", r"\t")


def _finish_reason(value: object) -> FinishReason | None:
    if value is None:
        return None
    return FinishReason.LENGTH if value == "length" else FinishReason.END_OF_TEXT
