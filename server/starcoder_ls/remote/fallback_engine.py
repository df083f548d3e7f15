"""A remote engine with a local one behind it: what the server does not answer, the local model does.

An answer that breaks off is continued from its text so far, so that nothing is lost and nothing comes twice.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import cast

from starcoder_ls.errors import EngineBusy, EngineNotReady, EngineUnreachable
from starcoder_ls.generation import AdapterStatus, Chunk, Engine, FinishReason, Phase, Request, SpecialToken, Status
from starcoder_ls.remote.remote_engine import RemoteEngine
from starcoder_ls.settings import Adapter
from starcoder_ls.status_listeners import StatusListeners

logger = logging.getLogger(__name__)

_FAILURES = (EngineUnreachable, EngineBusy, EngineNotReady)


class FallbackEngine:
    """``generation.Engine``: ``remote`` while it is available, else ``local``. The status is that of the engine that
    answers now, so that prompts are made for its model."""

    def __init__(self, remote: RemoteEngine, local: Engine) -> None:
        self._remote, self._local = remote, local
        self._listeners = StatusListeners()
        remote.subscribe(self._on_status)
        local.subscribe(self._on_status)

    async def stream(self, request: Request) -> AsyncGenerator[Chunk, None]:
        if self._current() is self._local:
            self._remote.probe_if_due()
            rest, answer = request, _PartialAnswer(request)
        else:
            answer = _PartialAnswer(request)
            held: list[Chunk] = []
            try:
                async with aclosing(self._remote.stream(replace(request, stop=answer.stop))) as chunks:
                    async for chunk in chunks:
                        answer.add(chunk)
                        if request.candidates == 1:
                            yield chunk
                        else:
                            held.append(chunk)
                for chunk in held:
                    yield chunk
                return
            except _FAILURES as error:
                rest = self._continuation(request, answer, error)
        async with aclosing(cast("AsyncGenerator[Chunk]", self._local.stream(rest))) as chunks:
            async for chunk in chunks:
                yield answer.complete(chunk)

    async def prefill(self, request: Request) -> None:
        await self._current().prefill(request)

    def count_tokens(self, text: str) -> int:
        return self._current().count_tokens(text)

    def status(self) -> Status:
        status = self._current().status()
        if self._current() is self._local:
            return replace(status, message=f"{self._remote.status().message} The local model answers.".strip())
        return status

    def subscribe(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        return self._listeners.subscribe(listener)

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        """Raises EngineError: a server has the adapters that it was started with."""
        return await self._remote.attach(name, adapter)

    async def detach(self, name: str) -> None:
        """Raises EngineError, as ``attach``."""
        await self._remote.detach(name)

    def start(self) -> None:
        self._remote.start()
        self._local.start()

    def close(self) -> None:
        self._remote.close()
        self._local.close()

    def _current(self) -> Engine:
        """The engine that answers now. While neither can, the remote one, whose status says why."""
        is_local_ready = self._local.status().phase in (Phase.READY, Phase.WORKING)
        return self._local if is_local_ready and not self._remote.is_available else self._remote

    def _continuation(self, request: Request, answer: _PartialAnswer, error: Exception) -> Request:
        """The request for the local model. Raises ``error`` if that cannot read the prompt."""
        local = self._local.status()
        special = {part.literal for part in request.parts if isinstance(part, SpecialToken)}
        if local.phase not in (Phase.READY, Phase.WORKING):
            raise error
        if not special <= local.special_tokens:
            self._remote.breaker.trip()
            raise error
        logger.info("the local model answers: %s", error)
        names = {adapter.name for adapter in local.adapters}
        return replace(
            answer.rest(),
            adapter=request.adapter if request.adapter in names else None,
            end_tokens=tuple(token for token in request.end_tokens if token.literal in local.special_tokens),
        )

    def _on_status(self, _: Status) -> None:
        self._listeners.notify(self.status())


class _PartialAnswer:
    """What the first engine has generated for a request, and how the second one's chunks continue it."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._text = ""
        self._tokens = 0
        self._generated = ""  # by the first engine; "" until ``rest``
        self._kept_chars: int | None = None
        self.stop = None if request.stop is None else self._stop

    def add(self, chunk: Chunk) -> None:
        """A chunk of the first engine. With a stop rule, its text is known from that."""
        self._tokens += len(chunk.token_ids)
        if self._request.stop is None:
            self._text += chunk.text

    def rest(self) -> Request:
        """The request for what is missing. Several candidates are generated again: none of them was passed on."""
        request = self._request
        if request.candidates > 1 or not self._text:
            self._text = ""
            return request
        self._generated = self._text
        text, parts, prefix_parts = request.forced_prefix + self._text, request.parts, request.prefix_parts
        last = parts[-1] if parts else None
        if isinstance(last, str):
            parts, text = parts[:-1], last + text
        else:
            prefix_parts = (*prefix_parts, len(parts))
        return replace(
            request,
            parts=(*parts, text),
            prefix_parts=prefix_parts,
            forced_prefix="",
            max_new_tokens=max(request.max_new_tokens - self._tokens, 1),
            stop=None if request.stop is None else self._stop_rest,
        )

    def complete(self, chunk: Chunk) -> Chunk:
        """A chunk of the second engine. With a stop rule, the last chunk has all of the text."""
        if self._request.stop is None or chunk.finish_reason is None or not self._generated:
            return chunk
        text = self._generated + chunk.text
        is_cut = chunk.finish_reason is FinishReason.STOP_RULE and self._kept_chars is not None
        return replace(chunk, text=text[: self._kept_chars] if is_cut else text)

    def _stop(self, text: str) -> int | None:
        assert self._request.stop is not None
        self._text = text
        return self._request.stop(text)

    def _stop_rest(self, text: str) -> int | None:
        assert self._request.stop is not None
        kept = self._request.stop(self._generated + text)
        if kept is None:
            return None
        self._kept_chars = max(kept, 0)
        return max(kept - len(self._generated), 0)
