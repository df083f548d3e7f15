"""What the choice of a token costs the bundled model: processor time of the passes, and of everything between them.

Each key of a simulated user is one request, as in keystrokes.py, without the server around the engine. The n-grams of
the document are mixed in by the kernels and by their definition in Python, in turns.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # for lib

from lib.typist import Typist
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.prompt.build_prompt import build_prompt
from starcoder_ls.engine import assembly
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.generation.request_generation import GenerationState, generate_alone
from starcoder_ls.generation import Phase, Request, Status
from starcoder_ls.settings import InlineCompletion, Model

KEYS = 40


class PromptEngine:
    """The part of an engine that building a prompt needs."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self.count_tokens = loaded.tokenizer.count_tokens

    def status(self) -> Status:
        special_tokens = self._loaded.tokenizer.special_tokens
        return Status(Phase.READY, context_tokens=self._loaded.context_tokens, special_tokens=special_tokens)


def build_requests(loaded: LoadedModel) -> list[Request]:
    """The requests of the first keys of a user."""
    engine: Any = PromptEngine(loaded)
    text, settings = Path(str(dataclasses.__file__)).read_text(encoding="utf-8"), InlineCompletion()
    requests = []
    for key in Typist(text, 1, 1).type_keys():
        if key.requests_suggestion and len(requests) < KEYS:
            cursor = Cursor(key.text, key.offset, "python", "dataclasses.py", "file", "user")
            request = build_prompt(engine, cursor, settings).completion_request(settings)
            requests.append(dataclasses.replace(request, deadline_s=None))
    return requests


def measure(loaded: LoadedModel, requests: list[Request], is_compiled: bool) -> tuple[float, float]:
    """Milliseconds of processor time per token: passes, everything else. The first key, which reads a window, is
    left out."""
    state = GenerationState.empty(loaded)
    if not is_compiled:
        state.compiled_ngrams = None
    passes_s = started_s = 0.0
    run_batch = loaded.runner.run_batch

    def timed(*arguments: Any) -> Any:
        nonlocal passes_s
        since_s = time.thread_time()
        logits = run_batch(*arguments)
        passes_s += time.thread_time() - since_s
        return logits

    loaded.runner.run_batch = timed  # type: ignore[method-assign]
    tokens = 0
    for number, request in enumerate(requests):
        if number == 1:
            passes_s, started_s, tokens = 0.0, time.thread_time(), 0
        tokens += sum(len(chunk.token_ids) for chunks in generate_alone(request, state) for chunk in chunks)
    total_s = time.thread_time() - started_s
    loaded.runner.run_batch = run_batch  # type: ignore[method-assign]
    return passes_s * 1000 / tokens, (total_s - passes_s) * 1000 / tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = assembly.load(Model(device="cpu", threads=1), lambda *_: None)
    requests = build_requests(loaded)
    table = Table("n-grams", "passes, ms per token (best round)", "everything else")
    measured: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for _ in range(options.rounds):
        for is_compiled in measured:
            measured[is_compiled].append(measure(loaded, requests, is_compiled))
    for is_compiled, rounds in measured.items():
        passes_ms, rest_ms = (min(values) for values in zip(*rounds, strict=True))
        table.add_row("by kernels" if is_compiled else "in Python", f"{passes_ms:.2f}", f"{rest_ms:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
