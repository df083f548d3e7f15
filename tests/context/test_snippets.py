from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.context.identifiers import CodeChunk
from starcoder_ls.context.snippets import (
    Candidate,
    SnippetQuery,
    SnippetSelection,
    rank_candidates,
    select_fitting,
)

IDENTIFIERS = ("alpha_one", "beta_two", "gamma_three", "delta_four")


def chunk(path: str, *identifiers: str) -> CodeChunk:
    return CodeChunk(path, 0, "\n".join(f"{path}_{name} = {name}(here)" for name in identifiers))


def ranked_paths(*candidates: Candidate, prompt: str = "", rarity: dict[str, float] | None = None) -> list[str]:
    query = SnippetQuery(IDENTIFIERS, rarity or {}, prompt)
    return [candidate.chunk.path for _, candidate in rank_candidates(candidates, query)]


def cost(_: CodeChunk) -> int:
    return 10


def test_rank_depends_on_shared_identifiers_their_rarity_and_the_weight() -> None:
    two, three = chunk("two", *IDENTIFIERS[:2], "other"), chunk("three", *IDENTIFIERS[1:])
    assert ranked_paths(Candidate(two), Candidate(three)) == ["three", "two"]
    assert ranked_paths(Candidate(two), Candidate(three), rarity={"alpha_one": 9.0}) == ["two", "three"]
    assert ranked_paths(Candidate(two, weight=1.6), Candidate(three)) == ["two", "three"]


def test_unlike_short_or_repeated_chunks_are_left_out() -> None:
    good = chunk("good", *IDENTIFIERS)
    twin = CodeChunk("twin", 30, good.text + "\nmore_of_it = 1")
    assert ranked_paths(Candidate(chunk("none", "x1y", "y1z", "z1a"))) == []
    assert ranked_paths(Candidate(CodeChunk("short", 0, "alpha_one(beta_two)"))) == []
    assert ranked_paths(Candidate(good), Candidate(twin)) == ["good"]
    assert ranked_paths(Candidate(good), prompt=f"before\n{good.text}\nafter") == []


def test_best_candidates_that_fit_are_selected() -> None:
    ranked = [(1.0, Candidate(chunk("big", *IDENTIFIERS))), (0.5, Candidate(chunk("small", *IDENTIFIERS[:3])))]
    costs = {"big": 50, "small": 20}
    for tokens, expected in ((60, ["big"]), (40, ["small"])):
        selected = select_fitting(ranked, tokens, lambda chunk: costs[chunk.path])
        assert [candidate.chunk.path for candidate in selected] == expected


def test_selected_chunks_stay_in_order_until_clearly_worse() -> None:
    a, b, c, d = (Candidate(chunk(name, *IDENTIFIERS)) for name in "abcd")
    selection = SnippetSelection()
    selection.update([(0.9, a), (0.8, b)], 20, cost)
    first = list(selection.chunks)
    selection.update([(1.0, c), (0.9, b), (0.8, a)], 20, cost)
    assert selection.chunks == first
    selection.update([(1.0, c), (0.9, b), (0.3, a)], 20, cost)
    assert selection.chunks == [b.chunk, c.chunk]
    selection.update([(1.0, c), (0.95, d)], 20, cost)
    assert selection.chunks == [c.chunk, d.chunk]


SCORES = st.lists(st.tuples(st.floats(0.1, 1.0), st.integers(0, 9)), max_size=12, unique_by=lambda pair: pair[1])


@given(SCORES, st.integers(0, 60))
def test_selection_fits_its_tokens_and_is_stable(scores: list[tuple[float, int]], tokens: int) -> None:
    ranked = [(score, Candidate(chunk(str(number), *IDENTIFIERS))) for score, number in sorted(scores, reverse=True)]
    selection = SnippetSelection()
    selection.update(ranked, tokens, cost)
    first = list(selection.chunks)
    assert 10 * len(first) <= tokens
    selection.update(ranked, tokens, cost)
    assert selection.chunks == first
