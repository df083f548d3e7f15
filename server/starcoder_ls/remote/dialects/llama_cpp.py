"""llama.cpp's server: `/completion` takes token ids and returns text; end tokens are the client's to enforce.

While it streams, the ids of a character that is split over several tokens are lost except the last; its text is right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from starcoder_ls.errors import AdapterInvalid
from starcoder_ls.generation import GREEDY, Capabilities, FinishReason, Sampling
from starcoder_ls.remote.dialects.dialect import Call, Piece, PromptIds, ServerFacts
from starcoder_ls.text_tokens.candidate import SampledToken

COMPLETION = "/completion"
_STOP_TYPES = {"eos": FinishReason.END_OF_TEXT, "word": FinishReason.END_OF_TEXT, "limit": FinishReason.LENGTH}
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class LlamaCppDialect:
    """``Dialect`` of llama.cpp."""

    name = "llama.cpp"
    capabilities = Capabilities(document_ngrams=False, attach=False, exact_token_ids=False)

    def calls(self, prompt: PromptIds, facts: ServerFacts) -> list[Call]:
        request = prompt.request
        first = GREEDY if request.candidates > 1 else request.sampling
        samplings = [first] + [
            replace(request.sampling, seed=request.sampling.seed + number) for number in range(1, request.candidates)
        ]
        return [
            Call(COMPLETION, self._body(prompt, facts, sampling, request.max_new_tokens), number)
            for number, sampling in enumerate(samplings)
        ]

    def prefill_call(self, prompt: PromptIds, facts: ServerFacts) -> Call:
        return Call(COMPLETION, self._body(prompt, facts, GREEDY, 0))

    def probe_call(self, ids: Sequence[int], text: str, max_tokens: int, _facts: ServerFacts, /) -> Call:
        body = {
            "prompt": list(ids),
            "n_predict": max_tokens,
            "temperature": 0.0,
            "return_tokens": True,
            "cache_prompt": False,
        }
        return Call(COMPLETION, body | ({"grammar": f"root ::= {literal(text)}"} if text else {}))

    def read_event(self, event: Mapping[str, Any]) -> list[Piece]:
        if "content" not in event:
            return []
        probabilities = event.get("completion_probabilities") or ()
        tokens = tuple(SampledToken(int(entry["id"]), float(entry.get("logprob") or 0.0)) for entry in probabilities)
        tokens = tokens or tuple(SampledToken(int(id_), 0.0) for id_ in event.get("tokens") or ())
        is_last = bool(event.get("stop"))
        generated = event.get("tokens_predicted")
        reused = (event.get("timings") or {}).get("cache_n")
        return [
            Piece(
                tokens=tokens,
                text=str(event["content"]),
                generated_tokens=None if generated is None or is_last else int(generated),
                finish_reason=_STOP_TYPES.get(str(event.get("stop_type")), FinishReason.LENGTH) if is_last else None,
                reused_tokens=None if reused is None else int(reused),
            )
        ]

    def read_probe(self, answer: Mapping[str, Any]) -> tuple[str, list[int]]:
        return str(answer["content"]), [int(id_) for id_ in answer["tokens"]]

    def _body(self, prompt: PromptIds, facts: ServerFacts, sampling: Sampling, max_tokens: int) -> dict[str, Any]:
        request = prompt.request
        if request.adapter is not None and request.adapter not in facts.adapters:
            raise AdapterInvalid(f"The server has no adapter {request.adapter}. Add it where the server is started.")
        body: dict[str, Any] = {
            "prompt": list(prompt.ids),
            "n_predict": max_tokens,
            "temperature": sampling.temperature,
            "samplers": ["top_p", "temperature"],
            "top_k": 0,
            "top_p": sampling.top_p,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
            "seed": sampling.seed,
            "n_probs": 1,
            "return_tokens": True,
            "cache_prompt": True,
            "stream": True,
        }
        if request.forced_prefix:
            body["grammar"] = rf"root ::= {literal(request.forced_prefix)} [^\x00]*"
        if facts.adapters:  # always explicit: without it the server uses the scales that it was started with
            body["lora"] = [
                {"id": at, "scale": float(name == request.adapter)} for at, name in enumerate(facts.adapters)
            ]
        return body


def literal(text: str) -> str:
    """``text`` as a literal of llama.cpp's grammar format (GBNF)."""
    return '"' + re.sub(r'[\\"\n\r\t]', lambda found: _ESCAPES[found[0]], text) + '"'
