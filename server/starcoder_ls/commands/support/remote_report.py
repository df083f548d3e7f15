"""What ``doctor`` says about a server: what it can do, what it shows without a token, and whether its adapters work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx2

from starcoder_ls.commands.support.engine_factory import LocalEngineFactory, loaded_engine
from starcoder_ls.errors import StarcoderError
from starcoder_ls.evaluation.adapter_parity import compare_adapter
from starcoder_ls.generation import Capabilities, Engine
from starcoder_ls.remote.endpoint import Endpoint, open_client
from starcoder_ls.remote.remote_engine import RemoteEngine
from starcoder_ls.settings import Remote, Settings

GUARDED_PATHS = (
    "/v1/models", "/tokenize", "/detokenize", "/metrics", "/invocations", "/generative_scoring", "/load", "/version",
    "/kv_event_sources", "/scale_elastic_ep", "/openapi.json", "/props", "/slots", "/completion", "/lora-adapters",
)  # fmt: skip
"""Paths of vLLM and llama.cpp that say or do something. `/health` is meant to be open."""

_CLOSED = (401, 403, 404)
_NAMES = {
    "document_ngrams": "n-grams of the document", "forced_prefix": "forced beginning", "exact_token_ids": "exact ids",
    "logprobs": "log probabilities", "cache_salt": "cache salt", "attach": "adapters at run time",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of the report. ``problem`` says in one sentence what does not work, and is empty if all does."""

    name: str
    text: str
    problem: str = ""


def describe_server(engine: RemoteEngine, settings: Settings) -> Iterator[Finding]:
    """What the server is and can do, then its adapters. Raises EngineError."""
    yield Finding("server", engine.status().device)
    yield Finding("capabilities", describe_capabilities(engine.status().capabilities))
    yield Finding("tokenizer", "equal to the server's: a forced text and its ids agree")
    open_paths = asyncio.run(find_open_paths(engine.endpoint))
    yield Finding("without a token", ", ".join(open_paths) or "no path answers")
    with _reference_engine(settings) as reference:
        known = {adapter.name for adapter in reference.status().adapters} if reference is not None else set()
        for adapter in engine.status().adapters:
            compared = reference if adapter.name in known else None
            parity = asyncio.run(compare_adapter(engine, adapter.name, compared))
            problem = "" if parity.is_passed else f"The adapter {adapter.name} does not work on the server."
            yield Finding(f"adapter {adapter.name}", parity.describe(), problem)


def describe_capabilities(capabilities: Capabilities) -> str:
    """What the server can do, and what it cannot."""
    able = [text for name, text in _NAMES.items() if getattr(capabilities, name)]
    unable = [text for name, text in _NAMES.items() if not getattr(capabilities, name)]
    return f"{', '.join(able) or 'none'}; not: {', '.join(unable) or 'none'}"


async def find_open_paths(endpoint: Endpoint) -> list[str]:
    """Those of GUARDED_PATHS that do not refuse a request without a token."""
    found = []
    async with open_client(Endpoint(endpoint.url, ca_file=endpoint.ca_file)) as client:
        for path in GUARDED_PATHS:
            try:
                async with client.stream("GET", path) as response:
                    if response.status_code not in _CLOSED:
                        found.append(path)
            except httpx2.HTTPError:
                continue
    return found


@contextmanager
def _reference_engine(settings: Settings) -> Iterator[Engine | None]:
    """The model of `[model]` with the adapters of the settings, without n-grams; None if it cannot be loaded here."""
    if not settings.adapters:
        yield None
        return
    model = settings.model.model_copy(update={"document_ngrams": "off"})
    local = settings.model_copy(update={"model": model, "remote": Remote()})
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(loaded_engine(local, LocalEngineFactory(is_process_ending=True)))
        except StarcoderError:
            engine = None
        yield engine
