"""Engines whose answers are texts as the bundled tokenizer encodes them, with the forced beginning obeyed."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fake_vllm import BUNDLED
from fakes import ScriptedEngine
from starcoder_ls.generation import Capabilities, Chunk, FinishReason, Request, Timings


class TokenEngine(ScriptedEngine):
    """Answers candidate ``i`` with ``texts[i]``, or the last."""

    def __init__(self, texts: tuple[str, ...] = ("answer\n",), adapters: tuple[str, ...] = ()) -> None:
        super().__init__(adapters=adapters)
        self.texts = texts
        self.set_status(special_tokens=BUNDLED.special_tokens)

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        self.all_requests.append(request)
        for candidate in range(request.candidates):
            text = request.forced_prefix + self.texts[min(candidate, len(self.texts) - 1)]
            ids = BUNDLED.encode([text])[: request.max_new_tokens]
            for id_ in ids:
                yield Chunk("", (id_,), -0.5, candidate)
            is_last = candidate == request.candidates - 1
            timings = Timings(prompt_tokens=len(BUNDLED.encode(request.parts)), reused_tokens=7) if is_last else None
            reason = FinishReason.LENGTH if len(ids) == request.max_new_tokens else FinishReason.END_OF_TEXT
            yield Chunk("", (), 0.0, candidate, reason, timings)


class LossyTokenEngine(TokenEngine):
    """Has the text of its answer, one character in a chunk, and the last token only, as llama.cpp's server has of a
    character that is split over tokens."""

    def __init__(self, texts: tuple[str, ...] = ("answer\n",)) -> None:
        super().__init__(texts)
        self.set_status(capabilities=Capabilities(document_ngrams=False, attach=False, exact_token_ids=False))

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        self.all_requests.append(request)
        yield Chunk("", (BUNDLED.encode(["("])[0],), -0.5)
        for character in self.texts[0]:
            yield Chunk(character, tuple(BUNDLED.encode([character])[-1:]), -0.5)
        timings = Timings(prompt_tokens=len(BUNDLED.encode(request.parts)))
        yield Chunk("", (), 0.0, 0, FinishReason.END_OF_TEXT, timings)
