"""A small server with the dialect of vLLM, in a thread of the test: it answers with a script, one token per event.

It keeps the traps of the real one (vLLM 0.32): whole special tokens in the ids, characters split over tokens, which
have no text until they are whole, an answer that is silently shortened, constraints by a regular expression, adapters
that are listed but have no effect, and paths outside of `/v1` that need no token. `e2e/test_remote_vllm.py` compares
the two.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import starcoder_ls
from starcoder_ls.generation import SpecialToken
from starcoder_ls.text_tokens.prefix_index import REPLACEMENT_CHARACTER
from starcoder_ls.text_tokens.tokenizer import Tokenizer

BUNDLED = Tokenizer.from_folder(Path(starcoder_ls.__file__).parent / "bundled")
TOKEN = "sesame"
END_OF_TEXT = "<|endoftext|>"
ANYTHING = r"[\s\S]*"


@dataclass
class Fault:
    """What goes wrong with requests for a completion. ``count`` limits how many of them are affected.

    ``status`` answers with that code. ``closes_before``: the connection ends before a response. ``tokens``: after that
    many tokens the connection breaks, or, with ``is_stalled``, nothing comes any more. A token takes ``token_s``.
    """

    status: int = 0
    headers: str = ""
    message: str = ""
    closes_before: bool = False
    is_stalled: bool = False
    tokens: int | None = None
    garbage: bytes = b""
    token_s: float = 0.0
    count: int = 1_000_000


@dataclass
class FakeVllm:
    """``script`` maps the name of the requested model to its answer. Set the fields at any time."""

    script: Callable[[str], str] = lambda model: f"answer of {model}"
    model: str = "coder"
    adapters: tuple[str, ...] = ()
    owner: str = "vllm"
    context_tokens: int = 2048
    tokenizer: Tokenizer = BUNDLED
    fault: Fault | None = None
    is_endless: bool = False
    logprob: float = -0.25
    has_constraints: bool = True
    open_paths: tuple[str, ...] = ()
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    tokens_sent: int = 0
    connections: int = 0
    aborted: threading.Event = field(default_factory=threading.Event)

    @property
    def completions(self) -> list[dict[str, Any]]:
        """The bodies of streamed completions, without the probes."""
        return [body for body in self.requests if body.get("stream")]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._answer(reader, writer):
                    pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request. False if the connection ends."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path = first.split()[:2]
        if path == "/health" or path in self.open_paths:
            return await respond(writer, 200, {})
        if path.startswith("/v1") and headers.get("authorization") != f"Bearer {TOKEN}":
            return await respond(writer, 401, {"error": "Unauthorized"})
        if path == "/v1/models":
            return await respond(writer, 200, self._models())
        if path != "/v1/completions":
            return await respond(writer, 404, {"detail": "Not Found"})
        if method != "POST":
            return await respond(writer, 405, {"detail": "Method Not Allowed"})
        try:
            request = json.loads(body)
        except ValueError:
            return await respond(writer, 400, error(400, "1 validation error: JSON decode error"))
        self.requests.append(request)
        self.headers.append(headers)
        return await self._complete(request, writer, reader)

    def _models(self) -> dict[str, Any]:
        base = {"id": self.model, "owned_by": self.owner, "max_model_len": self.context_tokens, "root": "/models/base",
                "parent": None}  # fmt: skip
        others = [
            {"id": name, "owned_by": self.owner, "max_model_len": None, "root": f"/{name}", "parent": self.model}
            for name in self.adapters
        ]
        return {"object": "list", "data": [base, *others]}

    async def _complete(
        self, request: dict[str, Any], writer: asyncio.StreamWriter, reader: asyncio.StreamReader
    ) -> bool:
        fault = self.fault if request.get("stream") and self.fault is not None and self.fault.count > 0 else None
        if fault is not None:
            fault.count -= 1
            if fault.closes_before:
                return False
            if fault.status:
                return await respond(writer, fault.status, error(fault.status, fault.message), fault.headers)
        prompt = request["prompt"]
        prompt = self.tokenizer.encode([prompt]) if isinstance(prompt, str) else prompt
        if (problem := self._problem(request, prompt)) is not None:
            return await respond(writer, problem["error"]["code"], problem)
        ids = self._ids(request)
        limit = min(request["max_tokens"], self.context_tokens - len(prompt))  # silently shortened
        reason = "stop" if len(ids) <= limit else "length"
        if not request.get("stream"):
            text = self.tokenizer.decode(ids[:limit]).rstrip(REPLACEMENT_CHARACTER)
            return await respond(writer, 200, {"choices": [self._choice(request, 0, ids[:limit], text, reason)]})
        return await self._stream(request, ids[:limit], reason, fault, writer, reader)

    def _problem(self, request: dict[str, Any], prompt: list[int]) -> dict[str, Any] | None:
        """The body of the answer to a request that is refused."""
        if request["model"] not in (self.model, *self.adapters):
            return error(404, f"The model `{request['model']}` does not exist. Valid aliases: {self.model}.")
        if not prompt:
            return error(400, "You must pass at least one prompt")
        if max(prompt) >= self.tokenizer.vocabulary_size:
            return error(400, f"Token id {max(prompt)} is out of vocabulary")
        if len(prompt) > self.context_tokens:
            return error(
                400, f"This model's maximum context length is {self.context_tokens} tokens. However, your prompt "
                f"contains {len(prompt)} input tokens, which exceeds this limit even without any output tokens. Please "
                f"reduce the length of the input prompt. (parameter=input_tokens, value={len(prompt)})",
            )  # fmt: skip
        tokens = min(request["max_tokens"], self.context_tokens - len(prompt))
        for name, value in (("max_tokens", tokens), ("n", request.get("n", 1))):
            if value < 1:
                return error(400, f"{name} must be at least 1, got {value}.")
        return None

    def _choice(
        self, request: dict[str, Any], index: int, ids: list[int], text: str, reason: str | None
    ) -> dict[str, Any]:
        logprobs = {"token_logprobs": [self.logprob] * len(ids)} if request.get("logprobs") is not None else None
        token_ids = ids if request.get("return_token_ids") else None
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason, "stop_reason": None,
                "token_ids": token_ids}  # fmt: skip

    def _ids(self, request: dict[str, Any]) -> list[int]:
        text = self.script(request["model"])
        pattern = (request.get("structured_outputs") or {}).get("regex") if self.has_constraints else None
        if pattern is not None:
            start = unescape(pattern.removesuffix(ANYTHING))
            text = start + text if pattern.endswith(ANYTHING) else start
        parts = [SpecialToken(part) if part in self.tokenizer.special_tokens else part
                 for part in re.split(r"(<[a-z_|]+>)", text)]  # fmt: skip
        return [*self.tokenizer.encode(parts), self.tokenizer.special_token_id(SpecialToken(END_OF_TEXT))]

    async def _stream(
        self,
        request: dict[str, Any],
        ids: list[int],
        reason: str,
        fault: Fault | None,
        writer: asyncio.StreamWriter,
        reader: asyncio.StreamReader,
    ) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        gone = asyncio.ensure_future(reader.read(1))  # a client that goes on sends nothing now
        state = self.tokenizer.initial_state()
        try:
            number = 0
            while self.is_endless or number < len(ids):
                if fault is not None and fault.tokens == number:
                    if fault.is_stalled:
                        await gone
                    writer.write(chunk(fault.garbage) if fault.garbage else b"")
                    return False
                is_last = not self.is_endless and number == len(ids) - 1
                id_ = ids[number % (len(ids) - self.is_endless)]
                before, state = state, self.tokenizer.append_token(state, id_)
                text = state.text[len(before.text) :]
                for index in range(request.get("n", 1)):
                    choice = self._choice(request, index, [id_], text, reason if is_last else None)
                    writer.write(chunk(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"))
                self.tokens_sent += 1
                await writer.drain()
                await asyncio.sleep(fault.token_s if fault is not None else 0.001 if self.is_endless else 0)
                if gone.done():
                    self.aborted.set()
                    return False
                number += 1
        except ConnectionError:
            self.aborted.set()
            return False
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await gone
        writer.write(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        await writer.drain()
        return True


def error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "BadRequestError", "param": None, "code": status}}


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def respond(writer: asyncio.StreamWriter, status: int, value: object, headers: str = "") -> bool:
    body = json.dumps(value).encode()
    writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body)
    await writer.drain()
    return True


def unescape(pattern: str) -> str:
    """The text that a regular expression without operators matches."""
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r", "t": "\t"}.get(found[1], found[1]), pattern)


@contextmanager
def serving(fake: FakeVllm, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[FakeVllm]:
    """``fake`` on a port of this machine, with its ``url`` set."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(fake.handle, "127.0.0.1", port, ssl=tls))
    fake.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=loop.run_forever, name="fake-vllm", daemon=True)
    thread.start()

    async def end() -> None:
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # closed transports need further turns of the loop

    try:
        yield fake
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()
