import random

from hypothesis import given, settings
from hypothesis import strategies as st

from starcoder_ls.completion.prompt import token_healing
from starcoder_ls.learning import fim

CODE = """class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def norm(self):
        if self.x:
            return abs(self.x)

        return (self.x ** 2 + self.y ** 2) ** 0.5


def main():
    print(Point(1, 2).norm())
"""


def sample_middles(mixture: fim.Mixture, count: int = 2000) -> list[tuple[int, int]]:
    rng = random.Random(0)
    return [fim.sample_middle(CODE, rng, mixture) for _ in range(count)]


@settings(deadline=None)
@given(st.text(max_size=200), st.integers(0, 10_000))
def test_middle_lies_within_the_text(text: str, seed: int) -> None:
    start, end = fim.sample_middle(text, random.Random(seed), fim.Mixture(cursor_share=0.8))
    assert 0 <= start <= end <= len(text)


def test_cursors_are_at_all_kinds_of_positions() -> None:
    starts = [start for start, _ in sample_middles(fim.Mixture(cursor_share=1.0, uses_token_healing=False))]
    at_line_start = sum(CODE[s - 1] == "\n" for s in starts if s)
    after_indentation = sum(CODE[:s].endswith("    ") and CODE[s : s + 1].strip() != "" for s in starts)
    after_opener = sum(CODE[s - 1] in "(.=, " and CODE[:s].rpartition("\n")[2].strip() != "" for s in starts if s)
    inside_word = sum(CODE[s - 1 : s + 1].isidentifier() for s in starts if s)
    assert min(at_line_start, after_indentation, after_opener, inside_word) > len(starts) * 0.08


def test_most_middles_end_at_a_line_end() -> None:
    ends = [end for _, end in sample_middles(fim.Mixture(cursor_share=1.0))]
    at_line_end = sum(end == len(CODE) or CODE[end] == "\n" for end in ends)
    assert len(ends) * 0.75 < at_line_end < len(ends)


def test_middles_at_cursors_start_where_token_healing_cuts_prompts() -> None:
    ends = {len(token_healing.split_unfinished_word(CODE[:cursor])[0]) for cursor in range(len(CODE) + 1)}
    starts = {start for start, _ in sample_middles(fim.Mixture(cursor_share=1.0))}
    assert starts <= ends
    assert not {start for start, _ in sample_middles(fim.Mixture(cursor_share=1.0, uses_token_healing=False))} <= ends


def test_uniform_middles_are_spread_evenly() -> None:
    offsets = [offset for middle in sample_middles(fim.Mixture(cursor_share=0.0)) for offset in middle]
    mean = sum(offsets) / len(offsets)
    assert abs(mean - len(CODE) / 2) < len(CODE) * 0.03
