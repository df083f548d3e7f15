"""Completions with token ids, as vLLM's server gives them: requests for the engine, and answers.

The tokens of an answer include those of a forced beginning; a client takes its text from them. An engine whose ids are
not exact (llama.cpp's server) has a right text, which is tokenized again.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, cast

from starcoder_ls.completion.prompt.families import find_family
from starcoder_ls.errors import ModelUnsupported
from starcoder_ls.generation import Chunk, Engine, FinishReason, Request, Sampling, Timings
from starcoder_ls.http_api.completions_format import Head, finish_reason, usage
from starcoder_ls.http_api.engine_requests import MAX_ANSWER_S, adapter_of
from starcoder_ls.http_api.server_sent_events import DONE
from starcoder_ls.http_api.token_bodies import ReplicaCompletionsBody
from starcoder_ls.http_api.token_prompt import read_token_prompt
from starcoder_ls.text_tokens.tokenizer import DetokenizerState, Tokenizer


def token_request(engine: Engine, tokenizer: Tokenizer, body: ReplicaCompletionsBody, session: str) -> Request:
    """The request for a completion of token ids; it tokenizes, so call it outside of an event loop.

    Several drawn candidates are those after the first of an engine, which is always the greedy one. ``session``
    identifies the document. Raises ModelNotFound for an unknown model, HttpError (400) for ids of no text.
    """
    status = engine.status()
    try:
        family = find_family(status.special_tokens)
    except ModelUnsupported:
        family = None
    prompt = read_token_prompt(tokenizer, family, body.prompt)
    special = tokenizer.special_tokens_by_id
    forced = body.structured_outputs
    return Request(
        parts=prompt.parts,
        max_new_tokens=body.max_tokens,
        prefix_parts=prompt.prefix_parts,
        forced_prefix="" if forced is None else forced.text,
        end_tokens=tuple(special[id_] for id_ in body.stop_token_ids if id_ in special),
        candidates=body.n + 1 if body.n > 1 else 1,
        sampling=Sampling(body.temperature, body.top_p, body.seed),
        adapter=adapter_of(status, body.model),
        deadline_s=time.monotonic() + MAX_ANSWER_S,
        document=f"{body.cache_salt}:{session}",
        client=f"{body.cache_salt}:{session}",
    )


def forced_answer(head: Head, tokenizer: Tokenizer, body: ReplicaCompletionsBody, text: str) -> dict[str, Any]:
    """The answer to a request that leaves no choice: nothing is generated. Clients compare their tokenizer by it."""
    ids = tokenizer.encode([text])[: body.max_tokens]
    piece = TokenPiece(0, tokenizer.decode(ids), tuple(ids), 0.0, FinishReason.END_OF_TEXT)
    timings = Timings(prompt_tokens=len(body.prompt))
    return head.object([piece.choice_object(body.logprobs is not None)], usage(timings, len(ids)))


@dataclass(frozen=True, slots=True)
class TokenPiece:
    """What a chunk adds to a choice. ``text`` is that of ``token_ids``, with the forced beginning."""

    choice: int
    text: str
    token_ids: tuple[int, ...]
    logprob: float
    finish_reason: FinishReason | None

    def choice_object(self, has_logprobs: bool) -> dict[str, Any]:
        values = [self.logprob, *[0.0] * (len(self.token_ids) - 1)] if self.token_ids else []
        return {
            "index": self.choice,
            "text": self.text,
            "token_ids": list(self.token_ids),
            "logprobs": {"token_logprobs": values} if has_logprobs else None,
            "finish_reason": finish_reason(self.finish_reason),
        }


class TokenAnswer:
    """Iterate over ``pieces()`` once; ``timings`` are those of the request afterwards."""

    def __init__(self, engine: Engine, request: Request, tokenizer: Tokenizer) -> None:
        self._engine, self._request, self._tokenizer = engine, request, tokenizer
        self._skipped = int(request.candidates > 1)  # the greedy candidate, which was not requested
        self._states: dict[int, DetokenizerState] = {}
        self._has_exact_ids = engine.status().capabilities.exact_token_ids
        self.timings = Timings()
        self.tokens = 0

    async def pieces(self) -> AsyncIterator[TokenPiece]:
        """Raises what ``Engine.stream`` raises. Closing it cancels the generation."""
        async with aclosing(cast("AsyncGenerator[Chunk]", self._engine.stream(self._request))) as chunks:
            async for chunk in chunks:
                self.timings = chunk.timings or self.timings
                choice = chunk.candidate - self._skipped
                if choice >= 0:
                    ids = chunk.token_ids if self._has_exact_ids else self._ids_of_text(choice, chunk)
                    self.tokens += len(ids)
                    yield TokenPiece(choice, self._text_of(choice, ids), ids, chunk.logprob, chunk.finish_reason)

    async def choices(self, has_logprobs: bool) -> list[dict[str, Any]]:
        """The whole answer. Raises what ``pieces`` raises."""
        pieces: dict[int, list[TokenPiece]] = {}
        async for piece in self.pieces():
            pieces.setdefault(piece.choice, []).append(piece)
        return [_join(pieces[choice], has_logprobs) for choice in sorted(pieces)]

    def usage(self) -> dict[str, Any]:
        """``cached_tokens`` are known when the request has ended."""
        details = {"prompt_tokens_details": {"cached_tokens": self.timings.reused_tokens}}
        return usage(self.timings, self.tokens) | details

    def _ids_of_text(self, choice: int, chunk: Chunk) -> tuple[int, ...]:
        """The ids of the text of ``chunk``, and of the forced beginning if it is the first with a text or the last."""
        if not chunk.text and chunk.finish_reason is None:
            return ()
        forced = "" if choice in self._states else self._request.forced_prefix
        return tuple(self._tokenizer.encode([forced + chunk.text]))

    def _text_of(self, choice: int, token_ids: tuple[int, ...]) -> str:
        if not token_ids:
            return ""
        before = state = self._states.get(choice) or self._tokenizer.initial_state()
        for id_ in token_ids:
            state = self._tokenizer.append_token(state, id_)
        self._states[choice] = replace(state, text="")  # only the text that is new is read
        return state.text[len(before.text) :]


def _join(pieces: list[TokenPiece], has_logprobs: bool) -> dict[str, Any]:
    objects = [piece.choice_object(has_logprobs) for piece in pieces]
    joined = objects[-1] | {
        "text": "".join(each["text"] for each in objects),
        "token_ids": [id_ for each in objects for id_ in each["token_ids"]],
    }
    if has_logprobs:
        joined["logprobs"] = {"token_logprobs": [v for each in objects for v in each["logprobs"]["token_logprobs"]]}
    return joined


async def response(head: Head, answer: TokenAnswer, body: ReplicaCompletionsBody) -> dict[str, Any]:
    """Raises what ``TokenAnswer.pieces`` raises."""
    choices = await answer.choices(body.logprobs is not None)
    return head.object(choices, answer.usage())


async def events(
    head: Head, answer: TokenAnswer, body: ReplicaCompletionsBody
) -> AsyncIterator[Mapping[str, Any] | str]:
    """Raises what ``TokenAnswer.pieces`` raises."""
    options = body.stream_options
    is_counting = options is not None and options.continuous_usage_stats
    async for piece in answer.pieces():
        if piece.token_ids or piece.finish_reason is not None:
            choice = piece.choice_object(body.logprobs is not None)
            yield head.object([choice], answer.usage() if is_counting else None)
    if options is not None and options.include_usage:
        yield head.object([], answer.usage())
    yield DONE
