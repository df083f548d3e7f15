from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fake_vllm import BUNDLED, END_OF_TEXT
from fakes import FakeClock
from starcoder_ls.generation import Chunk, FinishReason, Request, SpecialToken
from starcoder_ls.remote.answer_assembly import AnswerAssembly
from starcoder_ls.remote.dialects.dialect import Piece
from starcoder_ls.text_tokens.candidate import SampledToken

END = BUNDLED.special_token_id(SpecialToken(END_OF_TEXT))
TEXT = "é = '漢😀'\nprint(é)\n"


def assembly(clock: FakeClock | None = None, **fields: object) -> AnswerAssembly:
    request = Request(("x",), 100, **fields)  # type: ignore[arg-type]
    return AnswerAssembly(request, BUNDLED, frozenset({END}), 3, (clock or FakeClock()).monotonic)


def tokens_of(text: str) -> list[SampledToken]:
    return [SampledToken(id_, -0.5) for id_ in BUNDLED.encode([text])]


def text_of(chunks: list[Chunk], candidate: int = 0) -> str:
    return "".join(chunk.text for chunk in chunks if chunk.candidate == candidate)


@given(text=st.text(max_size=40), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=60))
def test_text_is_the_same_however_tokens_are_grouped(text: str, sizes: list[int]) -> None:
    tokens, found, chunks = [*tokens_of(text), SampledToken(END, 0.0)], assembly(), list[Chunk]()
    while tokens:
        size = sizes[len(chunks) % len(sizes)]
        chunks += found.add(Piece(tokens=tuple(tokens[:size])))
        tokens = tokens[size:]
    assert found.is_over
    assert text_of(chunks) == BUNDLED.decode(BUNDLED.encode([text]))
    assert (chunks[-1].finish_reason, chunks[-1].token_ids) == (FinishReason.END_OF_TEXT, ())
    assert [chunk.timings is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]


def test_text_pieces_give_the_same_text_as_tokens() -> None:
    by_token, by_text = assembly(), assembly()
    chunks = [chunk for token in tokens_of(TEXT) for chunk in by_token.add(Piece(tokens=(token,)))]
    others = [chunk for char in TEXT for chunk in by_text.add(Piece(text=char, tokens=(SampledToken(1, -1.0),)))]
    assert text_of(chunks) == text_of(others) == TEXT


def test_end_token_ends_a_text_answer_though_the_server_goes_on() -> None:
    found = assembly()
    chunks = [*found.add(Piece(text="a", tokens=(SampledToken(1, 0.0),)))]
    chunks += found.add(Piece(text="", tokens=(SampledToken(END, 0.0),)))
    chunks += found.add(Piece(text="b", tokens=(SampledToken(1, 0.0),)))
    assert (text_of(chunks), chunks[-1].finish_reason) == ("a", FinishReason.END_OF_TEXT)


def test_stop_rule_cuts_the_text_which_comes_with_the_last_chunk() -> None:
    found = assembly(stop=lambda text: text.index("\n") if "\n" in text else None, forced_prefix="é")
    chunks = [chunk for token in tokens_of(TEXT) for chunk in found.add(Piece(tokens=(token,)))]
    assert chunks[-1].finish_reason is FinishReason.STOP_RULE
    assert [chunk.text for chunk in chunks] == [""] * (len(chunks) - 1) + [" = '漢😀'"]


def test_limit_counts_tokens_that_the_server_does_not_list() -> None:
    request = Request(("x",), 5)
    found = AnswerAssembly(request, BUNDLED, frozenset({END}), 3)
    found.add(Piece(text="漢", tokens=(SampledToken(1, 0.0),), generated_tokens=3))
    (chunk,) = found.add(Piece(text="字", tokens=(SampledToken(1, 0.0),), generated_tokens=6))
    assert chunk.finish_reason is FinishReason.LENGTH


def test_candidates_end_on_their_own_and_the_last_chunk_has_the_timings() -> None:
    clock = FakeClock()
    found = assembly(clock, candidates=2)
    clock.advance(0.25)
    chunks = [*found.add(Piece(1, tokens=tuple(tokens_of("b")), finish_reason=FinishReason.LENGTH))]
    assert not found.is_over
    found.add(Piece(reused_tokens=7))
    clock.advance(0.5)
    chunks += found.add(Piece(0, tokens=(*tokens_of("a"), SampledToken(END, 0.0))))
    assert (text_of(chunks), text_of(chunks, 1), found.is_over) == ("a", "b", True)
    timings = chunks[-1].timings
    assert timings is not None
    assert (timings.prefill_ms, timings.decode_ms, timings.prompt_tokens, timings.reused_tokens) == (250, 500, 3, 7)


def test_end_from_outside_keeps_the_text_so_far() -> None:
    found = assembly(stop=lambda _: None)
    found.add(Piece(tokens=tuple(tokens_of("a = 1"))))
    assert found.has_started
    (chunk,) = found.finish(FinishReason.DEADLINE)
    assert (chunk.text, chunk.finish_reason, chunk.timings is None) == ("a = 1", FinishReason.DEADLINE, False)
    assert found.finish(FinishReason.CANCELLED) == ()
