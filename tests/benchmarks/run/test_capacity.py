from __future__ import annotations

from pathlib import Path

import pytest

from run.capacity import H200, MODELS, answer_ms, capacity, demand, devices, table

ONE_B, _, _, FIFTEEN_B = MODELS


def test_table_is_that_of_the_documentation() -> None:
    assert table() in (Path(__file__).parents[3] / "docs" / "teams.md").read_text(encoding="utf-8")


def test_capacity_of_1b_is_that_computed_by_hand() -> None:
    step_s = (2 * 1.1e9 + 32 * 12_288 * 1007.5) / 3.36e12 + 0.0015
    read_s = 2 * 1.1e9 * 200 / 445.05e12
    assert capacity(ONE_B, H200) == pytest.approx(1 / (read_s + 15 * step_s / 32))
    assert answer_ms(ONE_B, H200) == pytest.approx(1000 * (read_s + 15 * step_s))


def test_devices_are_enough_at_half_of_their_capacity() -> None:
    for model in MODELS:
        for team in (1, 50, 500, 3000):
            count = devices(team, model, H200)
            assert count * capacity(model, H200) >= 2 * demand(team) > (count - 1) * capacity(model, H200)
    assert devices(500, FIFTEEN_B, H200, reused=0.0) > devices(500, FIFTEEN_B, H200)
