"""A server whose suggestions are the text of a file, at the cost of the model that would have generated it.

With random weights suggestions mean nothing: no stop rule is reached and no draft is accepted. So the text is requested
as a forced prefix (``Request.forced_prefix``): the model computes every step, and its choice is replaced. Some lines
get the text of other lines, since real suggestions are often wrong.

    python benchmarks/lib/forced_server.py CHECKPOINT FILE [CORRECT_FRACTION [QUANTIZATION]]
"""

from __future__ import annotations

import dataclasses
import random
import sys
from array import array
from collections.abc import AsyncGenerator
from pathlib import Path

from starcoder_ls.app import Server
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.local_engine import LocalEngine
from starcoder_ls.generation import Chunk, FinishReason, Request
from starcoder_ls.lsp import stdio
from starcoder_ls.settings import Model, Settings
from starcoder_ls.text_tokens.tokenizer import Tokenizer

CONTEXT_CHARS, MAX_TEXT_CHARS = 120, 600
DEFAULT_CORRECT_FRACTION = 0.4


def allow_canonical_tokens_only(tokenizer: Tokenizer) -> None:
    """Make forced text consist of the tokens that the tokenizer splits it into."""
    any_tokens = tokenizer.prefix_compatible_ids

    def canonical_ids(data: bytes) -> array[int]:
        try:
            return array("q", tokenizer.encode([data.decode()])[:1])
        except UnicodeDecodeError:  # the rest of a character
            return any_tokens(data)

    tokenizer.prefix_compatible_ids = canonical_ids  # type: ignore[assignment]


class ForcedEngine(LocalEngine):
    """Generates the text of ``target`` at the cursor, or of another line for part of the lines."""

    def __init__(self, model: Model, target: str, correct_fraction: float) -> None:
        super().__init__(model)
        self._target, self._correct_fraction = target, correct_fraction
        self._lines = [line for line in target.split("\n") if line.strip()]

    def _load(self) -> LoadedModel | None:
        loaded = super()._load()
        if loaded is not None:
            allow_canonical_tokens_only(loaded.tokenizer)
        return loaded

    async def stream(self, request: Request) -> AsyncGenerator[Chunk, None]:
        assert self._tokenizer is not None
        answer, finish_reason = self._choose_answer(request)
        forced_prefix = request.forced_prefix + answer
        ids = self._tokenizer.encode([forced_prefix])
        if not ids:
            yield Chunk("", finish_reason=FinishReason.END_OF_TEXT)
            return
        forced = dataclasses.replace(request, forced_prefix=forced_prefix, stop=None, max_new_tokens=len(ids))
        generated = 0
        async for chunk in super().stream(forced):
            generated += len(chunk.token_ids)
            text = answer
            if generated < len(ids):
                text = self._tokenizer.decode(ids[:generated])[len(request.forced_prefix) :]
            stop_chars = request.stop(text) if request.stop and text else None
            if chunk.finish_reason is None:
                yield dataclasses.replace(chunk, text="")
            else:
                text = text if stop_chars is None else text[: max(stop_chars, 0)]
                reason = finish_reason if chunk.finish_reason is FinishReason.LENGTH else chunk.finish_reason
                yield dataclasses.replace(chunk, text=text, finish_reason=reason)

    def _choose_answer(self, request: Request) -> tuple[str, FinishReason]:
        """Return the text to generate, up to the token at which the stop rule of the request ends it."""
        assert self._tokenizer is not None
        text = self._text_after(str(request.parts[-1]) + request.forced_prefix)
        ids = self._tokenizer.encode([text])[: request.max_new_tokens]
        for count in range(1, len(ids) + 1):
            answer = self._tokenizer.decode(ids[:count])
            if request.stop and request.stop(answer) is not None:
                return answer, FinishReason.STOP_RULE
        return self._tokenizer.decode(ids), FinishReason.LENGTH

    def _text_after(self, before: str) -> str:
        """Return the file's text after ``before``, or two of its other lines where the answer shall be wrong."""
        context = before[-CONTEXT_CHARS:]
        start = self._target.find(context)
        end = start + len(context)
        seed = self._target.count("\n", 0, end) if start >= 0 else stable_hash(context)
        rng = random.Random(seed)
        if start >= 0 and rng.random() < self._correct_fraction:
            return self._target[end:][:MAX_TEXT_CHARS]
        return rng.choice(self._lines).strip() + "\n" + rng.choice(self._lines)


def stable_hash(text: str) -> int:
    """Return a hash that is the same in every process."""
    return sum(number * ord(char) for number, char in enumerate(text[-30:], 1))


def main() -> int:
    checkpoint, file = sys.argv[1], Path(sys.argv[2])
    correct_fraction = float(sys.argv[3]) if len(sys.argv) > 3 else DEFAULT_CORRECT_FRACTION
    quantization = sys.argv[4] if len(sys.argv) > 4 else "none"
    target = file.read_text(encoding="utf-8")
    settings = Settings(model=Model.model_validate({"name": checkpoint, "quantization": quantization}))
    server = Server(lambda chosen: ForcedEngine(chosen.model, target, correct_fraction), settings)
    return stdio.serve(server)


if __name__ == "__main__":
    sys.exit(main())
