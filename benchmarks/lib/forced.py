"""A server whose answers are what really stands in a file, at the cost of the model that would have made them.

With random weights an answer means nothing: no stop is reached and no draft is right. So each token that the text needs
is demanded of the model as it is of one that heals a word (``Request.opening``): the model makes every step, and its
choice is replaced. Some lines get another line's text, since real suggestions are often wrong.

    python benchmarks/lib/forced.py CHECKPOINT FILE [SHARE_RIGHT [QUANTIZATION]]
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

TAIL_CHARS, LONGEST_CHARS = 120, 600


def made_natural(tokenizer: Tokenizer) -> None:
    """Demanded text is made of the tokens that a tokenizer would make of it."""
    tokenizer.prefix_compatible_ids = lambda text: array("q", tokenizer.encode([text])[:1])  # type: ignore[assignment]


class ForcedEngine(LocalEngine):
    def __init__(self, model: Model, target: str, share_right: float) -> None:
        super().__init__(model)
        self._target, self._share_right = target, share_right
        self._lines = [line for line in target.split("\n") if line.strip()]

    def _load(self) -> LoadedModel | None:
        loaded = super()._load()
        if loaded is not None:
            made_natural(loaded.tokenizer)
        return loaded

    async def stream(self, request: Request) -> AsyncGenerator[Chunk, None]:
        assert self._tokenizer is not None
        said, finish_reason = self._script(request)
        demanded = request.forced_prefix + said
        tokens = self._tokenizer.encode([demanded])
        if not tokens:
            yield Chunk("", finish_reason=FinishReason.END_OF_TEXT)
            return
        forced = dataclasses.replace(request, forced_prefix=demanded, stop=None, max_new_tokens=len(tokens))
        made = 0
        async for chunk in super().stream(forced):
            made += len(chunk.token_ids)
            so_far = (
                said if made >= len(tokens) else self._tokenizer.decode(tokens[:made])[len(request.forced_prefix) :]
            )
            kept = request.stop(so_far) if request.stop and so_far else None
            if chunk.finish_reason is None:
                yield dataclasses.replace(chunk, text="")
            else:
                text = so_far if kept is None else so_far[: max(kept, 0)]
                ended = finish_reason if chunk.finish_reason is FinishReason.LENGTH else chunk.finish_reason
                yield dataclasses.replace(chunk, text=text, finish_reason=ended)

    def _script(self, request: Request) -> tuple[str, FinishReason]:
        """What is to be said, up to the token that its stop rule ends at."""
        assert self._tokenizer is not None
        text = self._text_behind(str(request.parts[-1]) + request.forced_prefix)
        ids = self._tokenizer.encode([text])[: request.max_new_tokens]
        for count in range(1, len(ids) + 1):
            so_far = self._tokenizer.decode(ids[:count])
            if request.stop and request.stop(so_far) is not None:
                return so_far, FinishReason.STOP_RULE
        return self._tokenizer.decode(ids), FinishReason.LENGTH

    def _text_behind(self, before: str) -> str:
        """The file's own text where ``before`` ends, or some other line of it for the share that is to be wrong."""
        tail = before[-TAIL_CHARS:]
        at = self._target.find(tail)
        line = self._target.count("\n", 0, at + len(tail)) if at >= 0 else hash_of(tail)
        dice = random.Random(line)
        if at >= 0 and dice.random() < self._share_right:
            return self._target[at + len(tail) :][:LONGEST_CHARS]
        return dice.choice(self._lines).strip() + "\n" + dice.choice(self._lines)


def hash_of(text: str) -> int:
    """The same in every process."""
    return sum(number * ord(char) for number, char in enumerate(text[-30:], 1))


def main() -> int:
    checkpoint, file = sys.argv[1], Path(sys.argv[2])
    share_right = float(sys.argv[3]) if len(sys.argv) > 3 else 0.4
    target = file.read_text(encoding="utf-8")
    quantization = sys.argv[4] if len(sys.argv) > 4 else "none"
    wanted = Settings(model=Model.model_validate({"name": checkpoint, "quantization": quantization}))
    server = Server(lambda chosen: ForcedEngine(chosen.model, target, share_right), wanted)
    return stdio.serve(server)


if __name__ == "__main__":
    sys.exit(main())
