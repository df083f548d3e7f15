"""Versions of an adapter are exchanged while two clients type: with the real engine and small random weights."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import torch

from harness import INLINE_COMPLETION, async_test, connect_client, notifications_of, wait_until, wait_until_ready
from starcoder_ls import settings
from starcoder_ls.app import Server
from starcoder_ls.commands.support.engine_factory import LocalEngineFactory
from starcoder_ls.engine.adapters.fingerprint import compute_fingerprint
from starcoder_ls.generation import Engine
from starcoder_ls.learning.finetuning.methods import build_trainable
from starcoder_ls.learning.finetuning.trainable import BaseIdentity
from starcoder_ls.learning.finetuning.versions import AdapterVersions, Version
from starcoder_ls.lsp.client import Client
from training_fixtures import load_base

NOW = datetime(2026, 11, 28, tzinfo=UTC)
ANSWERS_BETWEEN_EXCHANGES = 5


def add_version(base: Path, seed: int) -> Version:
    model, checkpoint, _ = load_base(base)
    trainable = build_trainable("lora", model, checkpoint, 2, torch.float32)
    for number, weight in enumerate(trainable.named_weights().values()):
        torch.nn.init.normal_(weight.data, std=0.1, generator=torch.Generator().manual_seed(100 * seed + number))
    versions = AdapterVersions("own")
    with versions.new_version(NOW) as folder:
        trainable.save(folder, BaseIdentity("base", compute_fingerprint(checkpoint)))
    return versions.find()


class Typist:
    """Types a line in a document, and asks for a suggestion at each character. ``answers`` counts the answers."""

    def __init__(self, client: Client, uri: str) -> None:
        self._client, self._uri = client, uri
        self.requests = self.answers = 0
        self.has_stopped = False

    async def type_until_stopped(self) -> None:
        """Raises ResponseFailed if a request is answered with an error."""
        text, version = "def total(prices):\n    return ", 1
        self._client.open(self._uri, text)
        while not self.has_stopped:
            version += 1
            text = text[: text.index("return ") + 7] + "".join("price in "[: version % 9])
            self._client.change(self._uri, version, {"text": text})
            line = text.rpartition("\n")[2]
            self.requests += 1
            await self._client.inline_completion(self._uri, 1, len(line))
            self.answers += 1


@async_test
async def test_no_request_is_lost_when_versions_are_exchanged(starcoder: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STARCODER_LS_STATE", str(tmp_path))
        patch.setenv("STARCODER_LS_SETTINGS", str(tmp_path / "settings.toml"))
        first, second = (add_version(starcoder, seed) for seed in (1, 2))
        versions = AdapterVersions("own")
        versions.promote(first, NOW)
        (tmp_path / "settings.toml").write_text(
            f'[model]\nname = "{starcoder}"\ndevice = "cpu"\ndtype = "float32"\n'
            f'[adapters.own]\npath = "{versions.current_link}"\ntasks = ["completion"]\n'
        )
        await exchange_while_typing(versions, [first, second])


async def exchange_while_typing(versions: AdapterVersions, both: list[Version]) -> None:
    first, second = both
    engines: list[Engine] = []

    def create_engine(config: settings.Settings) -> Engine:
        engines.append(LocalEngineFactory()(config))
        return engines[-1]

    def is_resident(version: Version) -> bool:
        return [adapter.folder for adapter in engines[0].status().adapters] == [str(version.folder.resolve())]

    server = Server(create_engine, settings.load())
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect_client(server)) for _ in range(2)]
        for client in clients:
            await client.initialize({}, INLINE_COMPLETION)
            await wait_until_ready(client)
        typists = [Typist(client, f"file:///project/{number}.py") for number, client in enumerate(clients)]
        typing = asyncio.gather(*(typist.type_until_stopped() for typist in typists))
        served = Counter[str]()
        for version in (second, first, second, first):
            if version is second:
                versions.promote(second, NOW)
            else:
                versions.roll_back(NOW)
            await wait_until(partial(is_resident, version))
            served[version.name] += 1
            enough = answers_of(typists) + ANSWERS_BETWEEN_EXCHANGES
            await wait_until(partial(lambda enough: answers_of(typists) >= enough, enough))
        for typist in typists:
            typist.has_stopped = True
        await typing
        assert [typist.answers for typist in typists] == [typist.requests for typist in typists]
        assert not any(
            client.unmatched_responses or notifications_of(client, "window/showMessage") for client in clients
        )
        assert served == {first.name: 2, second.name: 2}
    await asyncio.to_thread(server.close)


def answers_of(typists: list[Typist]) -> int:
    return sum(typist.answers for typist in typists)
