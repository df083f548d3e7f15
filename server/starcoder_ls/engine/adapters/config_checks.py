"""Checks of single values in an adapter_config.json, shared by all adapter methods."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MAX_NUMBER = 10_000
"""Largest magnitude of scaling factors; larger ones overflow float16 activations."""

MAX_TARGET_MODULES = 64

_MODULE_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")


@dataclass(frozen=True, slots=True)
class Check:
    """A predicate on a value, and the phrase that completes "it must be ..." in the error message."""

    is_valid: Callable[[object], bool]
    requirement: str


def integer(low: int, high: int, is_optional: bool = False) -> Check:
    """An integer from ``low`` to ``high``, both included; None as well if ``is_optional``."""

    def is_valid(value: object) -> bool:
        if value is None:
            return is_optional
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return Check(is_valid, f"an integer from {low} to {high:,}")


def is_number(value: object) -> bool:
    """Whether ``value`` is a finite int or float of at most ``MAX_NUMBER``; booleans are not numbers."""
    is_numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return is_numeric and abs(value) <= MAX_NUMBER  # type: ignore[arg-type]  # False for NaN


def one_of(choices: Sequence[str]) -> Check:
    return Check(lambda value: value in choices, f"one of {', '.join(choices)}")


def _is_module_names(value: object) -> bool:
    """PEFT reads a string as a regular expression, and matching one from an untrusted file can take unbounded time."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_TARGET_MODULES:
        return False
    return all(isinstance(name, str) and _MODULE_NAME.fullmatch(name) for name in value)


def _is_layer_numbers(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(layer, int) for layer in value))


NUMBER = Check(is_number, f"a number up to {MAX_NUMBER:,}")
BOOLEAN = Check(lambda value: isinstance(value, bool), "true or false")
MODULE_NAMES = Check(_is_module_names, "a list of module names")
LAYER_NUMBERS = Check(_is_layer_numbers, "a list of layer numbers")
