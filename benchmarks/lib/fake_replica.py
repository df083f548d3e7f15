"""A small server with vLLM's completions API, a prefix cache and real timings, in place of a model.

An answer is the ids 0, 1, 2, … and takes the time that its prompt and tokens would: what the prefix cache of this
replica holds is not read again. It runs in this process (``running``) or as a program of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

BLOCK_TOKENS = 16
"""vLLM caches whole blocks of a prompt; 16 tokens on a GPU, 128 on a CPU."""


@dataclass
class FakeReplica:
    """``prefill_s`` per token that is read, ``token_s`` per step. ``cache_blocks`` are kept, the latest used ones.

    ``failures`` are answered first: a status, or ``"close"`` to close the connection before the answer, or ``"break"``
    to close it after the first event.
    """

    prefill_s: float = 0.0
    token_s: float = 0.0
    cache_blocks: int = 4096
    failures: list[int | str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    prompt_tokens: int = 0
    reused_tokens: int = 0
    generated: int = 0
    aborted: int = 0
    running: int = 0
    _cache: OrderedDict[tuple[str, int], None] = field(default_factory=OrderedDict)

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/health", self._health),
                Route("/v1/models", self._models),
                Route("/v1/completions", self._complete, methods=["POST"]),
                Route("/counters", self._counters),
            ]
        )

    async def _health(self, _request: Request) -> Response:
        return Response()

    async def _models(self, _request: Request) -> Response:
        return JSONResponse({"data": [{"id": "model", "owned_by": "vllm", "max_model_len": 8192}]})

    async def _counters(self, _request: Request) -> Response:
        names = ("prompt_tokens", "reused_tokens", "generated", "aborted")
        return JSONResponse({name: getattr(self, name) for name in names})

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        failure = self.failures.pop(0) if self.failures else None
        if isinstance(failure, int):
            return JSONResponse({"error": {"message": "as told"}}, failure)
        return StreamingResponse(self._events(body, failure), media_type="text/event-stream")

    async def _events(self, body: dict[str, Any], failure: str | None) -> AsyncIterator[bytes]:
        if failure == "close":
            raise ConnectionError("as told")
        prompt = body["prompt"]
        reused = self._read(prompt, str(body.get("cache_salt", "")))
        self.prompt_tokens += len(prompt)
        self.reused_tokens += reused
        self.running += 1
        is_complete = False
        try:
            await asyncio.sleep(self.prefill_s * (len(prompt) - reused))
            usage = {"prompt_tokens": len(prompt), "prompt_tokens_details": {"cached_tokens": reused}}
            for token in range(body["max_tokens"]):
                await asyncio.sleep(self.token_s)
                self.generated += 1
                choice = {"index": 0, "text": "", "token_ids": [token], "finish_reason": None}
                yield b"data: " + json.dumps({"choices": [choice], "usage": usage}).encode() + b"\n\n"
                if failure == "break":
                    raise ConnectionError("as told")
            last = {"choices": [{"index": 0, "text": "", "token_ids": [], "finish_reason": "length"}]}
            yield b"data: " + json.dumps(last).encode() + b"\n\ndata: [DONE]\n\n"
            is_complete = True
        finally:
            self.running -= 1
            self.aborted += not is_complete

    def _read(self, prompt: list[int], salt: str) -> int:
        """Tokens of ``prompt`` in the cache, of which all of its whole blocks are part afterwards."""
        reused, key = 0, hash(salt)
        is_cached = True
        for end in range(BLOCK_TOKENS, len(prompt) + 1, BLOCK_TOKENS):
            key = hash((key, tuple(prompt[end - BLOCK_TOKENS : end])))
            is_cached = is_cached and (salt, key) in self._cache
            reused = end if is_cached else reused
            self._cache[salt, key] = None
            self._cache.move_to_end((salt, key))
        while len(self._cache) > self.cache_blocks:
            self._cache.popitem(last=False)
        return min(reused, len(prompt) - 1)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def running(replica: FakeReplica) -> Iterator[str]:
    """The address of ``replica``, which a thread serves."""
    config = uvicorn.Config(replica.application(), port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = _Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    port, options = int(sys.argv[1]), dict(argument.split("=") for argument in sys.argv[2:])
    fake = FakeReplica(**{name: float(value) for name, value in options.items()})  # type: ignore[arg-type]
    uvicorn.run(fake.application(), port=port, log_level="error", lifespan="off")
