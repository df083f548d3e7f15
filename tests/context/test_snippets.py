from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.context.identifiers import Piece
from starcoder_ls.context.snippets import Candidate, SnippetQuery, SnippetSelection, fitting, ranked

WORDS = ("alpha_one", "beta_two", "gamma_three", "delta_four")


def piece(path: str, *words: str, start: int = 0) -> Piece:
    return Piece(path, start, "\n".join(f"{path}_{word} = {word}(here)" for word in words))


def wanted(prompt: str = "", rarity: dict[str, float] | None = None) -> SnippetQuery:
    return SnippetQuery(WORDS, rarity or {}, prompt)


def order(*candidates: Candidate, prompt: str = "", rarity: dict[str, float] | None = None) -> list[str]:
    return [one.piece.path for _, one in ranked(candidates, wanted(prompt, rarity))]


def cost(_: Piece) -> int:
    return 10


def test_more_shared_words_come_first_rare_ones_count_more_and_origin_tips_the_scale() -> None:
    two, three = piece("two", *WORDS[:2], "other"), piece("three", *WORDS[1:])
    assert order(Candidate(two), Candidate(three)) == ["three", "two"]
    assert order(Candidate(two), Candidate(three), rarity={"alpha_one": 9.0}) == ["two", "three"]
    assert order(Candidate(two, weight=1.6), Candidate(three)) == ["two", "three"]


def test_what_shares_nothing_says_little_or_repeats_is_left_out() -> None:
    good = piece("good", *WORDS)
    twin = Piece("twin", 30, good.text + "\nmore_of_it = 1")
    assert order(Candidate(piece("none", "x1y", "y1z", "z1a"))) == []
    assert order(Candidate(Piece("short", 0, "alpha_one(beta_two)"))) == []
    assert order(Candidate(good), Candidate(twin)) == ["good"]
    assert order(Candidate(good), prompt=f"before\n{good.text}\nafter") == []


def test_the_best_that_fit_are_taken() -> None:
    found = [(1.0, Candidate(piece("big", *WORDS))), (0.5, Candidate(piece("small", *WORDS[:3])))]
    costs = {"big": 50, "small": 20}
    assert [one.piece.path for one in fitting(found, 60, lambda one: costs[one.path])] == ["big"]
    assert [one.piece.path for one in fitting(found, 40, lambda one: costs[one.path])] == ["small"]


def test_shown_pieces_stay_in_order_until_clearly_worse_and_newcomers_stand_behind() -> None:
    a, b, c, d = (Candidate(piece(name, *WORDS)) for name in "abcd")
    shelf = SnippetSelection()
    shelf.renew([(0.9, a), (0.8, b)], 20, cost)
    first = list(shelf.pieces)
    shelf.renew([(1.0, c), (0.9, b), (0.8, a)], 20, cost)
    assert shelf.pieces == first
    shelf.renew([(1.0, c), (0.9, b), (0.3, a)], 20, cost)
    assert shelf.pieces == [b.piece, c.piece]
    shelf.renew([(1.0, c), (0.95, d)], 20, cost)
    assert shelf.pieces == [c.piece, d.piece]


SCORES = st.lists(st.tuples(st.floats(0.1, 1.0), st.integers(0, 9)), max_size=12, unique_by=lambda pair: pair[1])


@given(SCORES, st.integers(0, 60))
def test_a_shelf_never_exceeds_its_tokens_and_is_stable(scores: list[tuple[float, int]], tokens: int) -> None:
    found = [(score, Candidate(piece(str(number), *WORDS))) for score, number in sorted(scores, reverse=True)]
    shelf = SnippetSelection()
    shelf.renew(found, tokens, cost)
    once = list(shelf.pieces)
    assert 10 * len(once) <= tokens
    shelf.renew(found, tokens, cost)
    assert shelf.pieces == once
