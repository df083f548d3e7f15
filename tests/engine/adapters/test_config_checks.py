from __future__ import annotations

import pytest

from starcoder_ls.engine.adapters import config_checks as checks


@pytest.mark.parametrize(
    ("value", "is_valid"), [(1, True), (4, True), (0, False), (5, False), (True, False), (2.0, False)]
)
def test_integer_accepts_only_its_range(value: object, is_valid: bool) -> None:
    assert checks.integer(1, 4).is_valid(value) == is_valid


def test_optional_integer_accepts_none() -> None:
    assert checks.integer(1, 4, is_optional=True).is_valid(None)
    assert not checks.integer(1, 4).is_valid(None)


@pytest.mark.parametrize(
    ("value", "is_valid"),
    [
        (-10_000, True),
        (0.5, True),
        (10_001, False),
        (float("nan"), False),
        (10**4000, False),
        ("1", False),
        (True, False),
    ],
)
def test_number_is_finite_and_bounded(value: object, is_valid: bool) -> None:
    assert checks.NUMBER.is_valid(value) == is_valid


@pytest.mark.parametrize("value", ["c_attn", ".*", [], ["a.*"], ["x"] * (checks.MAX_TARGET_MODULES + 1), None, [1]])
def test_module_names_refuse_what_peft_could_read_as_a_regular_expression(value: object) -> None:
    assert not checks.MODULE_NAMES.is_valid(value)
    assert checks.MODULE_NAMES.is_valid(["c_attn", "mlp.c_proj"])
