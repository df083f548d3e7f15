from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from starcoder_ls.engine.adapters.activation import in_turn


class Recorder:
    """Stands in for the adapters: who was made active, in order."""

    def __init__(self) -> None:
        self.order: list[Any] = []

    def activate(self, held: Any) -> None:
        self.order.append(held)


def test_each_piece_is_made_through_its_own_adapter() -> None:
    recorder = Recorder()
    made: list[Any] = []

    def pieces(name: str) -> Iterator[int]:
        for number in range(2):
            made.append((name, recorder.order[-1]))
            yield number

    left = in_turn("left", recorder, pieces("left"))  # type: ignore[arg-type]
    right = in_turn("right", recorder, pieces("right"))  # type: ignore[arg-type]
    assert [next(left), next(right), next(left), next(right)] == [0, 0, 1, 1]
    assert made == [("left", "left"), ("right", "right")] * 2
    assert next(left, None) is None


def test_pieces_that_are_left_are_closed() -> None:
    closed = []

    def pieces() -> Iterator[int]:
        try:
            yield 1
        finally:
            closed.append(True)

    turns = in_turn(None, Recorder(), pieces())  # type: ignore[arg-type]
    next(turns)
    turns.close()
    assert closed == [True]


def test_failure_goes_to_whoever_asked_for_the_piece() -> None:
    def pieces() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    turns = in_turn(None, Recorder(), pieces())  # type: ignore[arg-type]
    next(turns)
    with pytest.raises(ZeroDivisionError):
        next(turns)
