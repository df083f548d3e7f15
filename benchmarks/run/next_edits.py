"""The time from a key to its suggestion while next edits are computed, beside the time without them.

A simulated user types into a file; an edit is requested at every key, which is more than editors do (0.3 s after the
last key; ``--every`` makes it rarer). Three variants alternate in one process: no edits, edits without a model, and
edits by the model.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # for lib

import starcoder_ls
from lib.typist import Key, Typist
from starcoder_ls.app import Server
from starcoder_ls.commands.support.engine_factory import LocalEngineFactory
from starcoder_ls.lsp.client import Client
from starcoder_ls.lsp.connection import Connection
from starcoder_ls.lsp.tcp import SocketStream
from starcoder_ls.settings import Settings, validate

VARIANTS = ("none", "mechanical", "model")
URI = "file:///project/typed.py"
CAPABILITIES = {"textDocument": {"inlineCompletion": {}}}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a checkpoint folder; default: a copy of the bundled model")
    parser.add_argument("--module", default="argparse", help="file of the standard library that is typed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keys", type=int, default=120, help="keys in each round of each variant")
    parser.add_argument("--every", type=int, default=1, help="request an edit at every n-th key")
    parser.add_argument("--pause-ms", type=float, default=60.0, help="from an answer to the next key")
    return parser.parse_args()


@asynccontextmanager
async def connected_client(server: Server, settings: dict[str, Any]) -> AsyncIterator[Client]:
    """A client with ``settings`` of its own, whose server is ready."""
    client_socket, server_socket = socket.socketpair()
    connection = Connection(server.create_session(), SocketStream(*await asyncio.open_connection(sock=server_socket)))
    serving = asyncio.create_task(connection.run())
    client = Client(*await asyncio.open_connection(sock=client_socket))
    try:
        await client.initialize(settings, CAPABILITIES)
        while (await client.request("starcoder/status"))["phase"] != "ready":  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        yield client
    finally:
        client.close()
        await serving
        await client.wait_closed()


def position(text: str, offset: int) -> dict[str, int]:
    line = text.count("\n", 0, offset)
    return {"line": line, "character": offset - (text.rfind("\n", 0, offset) + 1)}


async def type_file(
    client: Client, variant: str, typist: Typist, arguments: argparse.Namespace
) -> tuple[list[float], int]:
    """Milliseconds from each key to its suggestion, and the number of edits that were offered."""
    client.open(URI, typist.text)
    elapsed: list[float] = []
    requested: list[Awaitable[Any]] = []
    text, version = typist.text, 1
    for key in typist.type_keys():
        started = time.perf_counter()
        version += 1
        send_changes(client, text, key, version)
        text = key.text
        cursor = position(text, key.offset)
        if variant != "none" and version % arguments.every == 0:
            identifier = {"uri": URI, "version": version}
            params = {"textDocument": identifier, "position": cursor}
            requested.append(client.request("textDocument/copilotInlineEdit", params))
        if key.requests_suggestion:
            await client.inline_completion(URI, cursor["line"], cursor["character"])
            elapsed.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(arguments.pause_ms / 1000)
        if len(elapsed) >= arguments.keys:
            break
    results = await asyncio.gather(*requested)
    client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    return elapsed, sum(bool(result["edits"]) for result in results)


def send_changes(client: Client, text: str, key: Key, version: int) -> None:
    changes = []
    for change in key.changes:
        start, end = position(text, change.start), position(text, change.end)
        changes.append({"range": {"start": start, "end": end}, "text": change.text})
        text = text[: change.start] + change.text + text[change.end :]
    client.change(URI, version, *changes)


async def measure(arguments: argparse.Namespace, folder: str) -> None:
    base = {"model": {"name": folder}}
    settings: Settings = validate(base, "the benchmark")
    server = Server(LocalEngineFactory(lambda *_: False), settings)
    target = (Path(sysconfig.get_paths()["stdlib"]) / f"{arguments.module}.py").read_text(encoding="utf-8")
    elapsed: dict[str, list[list[float]]] = {variant: [] for variant in VARIANTS}
    offered = dict.fromkeys(VARIANTS, 0)
    try:
        for number in range(arguments.rounds + 1):
            for variant in VARIANTS[number % 3 :] + VARIANTS[: number % 3]:
                own = {"next_edit": {"model": variant == "model"}}
                async with connected_client(server, own) as client:
                    typist = Typist(target, number, hole_count=12)
                    times, edits = await type_file(client, variant, typist, arguments)
                if number:  # the first round warms up
                    elapsed[variant].append(times)
                    offered[variant] += edits
    finally:
        await asyncio.to_thread(server.close)
    print_table(elapsed, offered)


def percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def print_table(elapsed: dict[str, list[list[float]]], offered: dict[str, int]) -> None:
    table = Table("edits", "keys", "p50, ms", "p95, ms", "p95 / without", "offered", title="key to suggestion")
    for variant, rounds in elapsed.items():
        together = [value for times in rounds for value in times]
        pairs = zip(rounds, elapsed["none"], strict=True)
        ratio = statistics.median(percentile(own, 95) / percentile(without, 95) for own, without in pairs)
        p50, p95 = percentile(together, 50), percentile(together, 95)
        table.add_row(variant, str(len(together)), f"{p50:.1f}", f"{p95:.1f}", f"{ratio:.2f}", str(offered[variant]))
    Console().print(table)


def main() -> None:
    arguments = parse_arguments()
    bundled = Path(starcoder_ls.__file__).parent / "bundled"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        copy.mkdir()
        for file in bundled.iterdir():
            if file.is_file():
                (copy / file.name).symlink_to(file)
        asyncio.run(measure(arguments, arguments.model or str(copy)))


if __name__ == "__main__":
    main()
