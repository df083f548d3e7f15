"""What a client learns from a server before the first request: dialect, model, context, adapters, and that both have
the same tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from starcoder_ls.errors import EngineError
from starcoder_ls.generation import AdapterStatus, Capabilities, Phase, Status
from starcoder_ls.remote import tokenizer_source
from starcoder_ls.remote.dialects.detection import read_facts
from starcoder_ls.remote.dialects.dialect import ServerFacts
from starcoder_ls.remote.server_connection import ServerConnection
from starcoder_ls.remote.tokenizer_source import PROBE_PROMPT, PROBE_TEXT, TokenizerSource
from starcoder_ls.settings import Settings

PREFILL_DELAY_S = 0.15
"""Shorter rests are followed by a request, whose own prompt the server then reads twice."""


@dataclass(frozen=True, slots=True)
class ServerModel:
    """A model on a server with its tokenizer here."""

    facts: ServerFacts
    source: TokenizerSource
    capabilities: Capabilities

    def ready_status(self, settings: Settings, host: str) -> Status:
        """The engine's status. Adapters of the settings that the server lacks are missing ones."""
        missing = tuple(name for name in settings.adapters if name not in self.facts.adapters)
        sentences = [f"{host} has no adapter {name}; add it where the server is started." for name in missing]
        if not self.capabilities.forced_prefix:
            sentences.append(f"{host} cannot force how an answer begins: suggestions inside a word are less exact.")
        return Status(
            Phase.READY,
            message=" ".join(sentences),
            progress=1.0,
            model=self.facts.model,
            device=f"{self.facts.dialect.name} at {host}",
            context_tokens=self.facts.context_tokens,
            special_tokens=self.source.tokenizer.special_tokens,
            adapters=tuple(AdapterStatus(name) for name in self.facts.adapters),
            missing_adapters=missing,
            chat=self.source.chat,
            capabilities=self.capabilities,
        )


async def connect(
    connection: ServerConnection, settings: Settings, read_source: Callable[[Settings], TokenizerSource]
) -> ServerModel:
    """Ask the server what it is, read the tokenizer, and compare the two.

    Raises EngineError, SettingsError and ModelError.
    """
    remote = settings.remote
    facts = await read_facts(connection.read_json, remote.dialect, remote.model)
    source = read_source(settings)
    ids = source.tokenizer.encode([PROBE_PROMPT])
    limit = tokenizer_source.probe_tokens()
    try:
        answer = await connection.post(facts.dialect.probe_call(ids, PROBE_TEXT, limit, facts), {})
    except EngineError as error:
        if type(error) is not EngineError:
            raise
        answer = await connection.post(facts.dialect.probe_call(ids, "", 16, facts), {})  # it refused the constraint
    is_forced = tokenizer_source.require_same_tokenizer(source.tokenizer, facts, answer)
    capabilities = replace(
        facts.dialect.capabilities,
        forced_prefix=is_forced,
        prefill_delay_s=PREFILL_DELAY_S if remote.prefill == "idle" else None,
    )
    return ServerModel(facts, source, capabilities)
