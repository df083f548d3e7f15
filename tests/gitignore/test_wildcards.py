from __future__ import annotations

import pytest

from starcoder_ls.gitignore.wildcards import parse_line


def matches(line: str, path: str) -> bool:
    return any(pattern.matches(path.split("/"), False) for pattern in parse_line(line, 0))


@pytest.mark.parametrize("stars", [12, 200])
def test_pattern_with_many_stars_is_decided_without_backtracking(stars: int) -> None:
    line = "a*" * stars
    assert not matches(f"{line}b", "a" * 300)
    assert matches(f"{line}b", "a" * 300 + "b")


def test_pattern_with_many_double_stars_is_decided_without_backtracking() -> None:
    line = "**/a/" * 60
    assert not matches(f"{line}b", "/".join("a" * 120))
    assert matches(f"{line}b", "/".join("a" * 120 + "b"))


def test_cost_grows_with_wildcards_that_are_compared_at_every_position() -> None:
    (cheap,), (dear,) = parse_line("*.py[cod]", 0), parse_line("*[ab][ab]*", 0)
    assert cheap.cost < 5
    assert dear.cost > 200


def test_pattern_that_git_lets_match_nothing_is_left_out() -> None:
    assert not list(parse_line("[a", 0))
    assert not list(parse_line("a*\\", 0))
    assert not list(parse_line("[[:unknown:]]", 0))
