"""Divides files into those to train on, those that decide when to stop, and those that are held out for the gate.

By a hash of the name, so that a file stays in its slice from run to run; where git knows the files, the newest are held
out too, since an adapter serves code that is written after it was trained.
"""

from __future__ import annotations

import enum
import hashlib
import math
from collections.abc import Sequence

from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning.repository_files import CodeFile

HELD_OUT_SHARES = ((60, 0.3), (200, 0.2), (math.inf, 0.1))
"""Below a number of files: more of few files, since the gate can tell a gain from chance only in seven or more."""
VALIDATION_SHARE = 0.1
NEW_SHARE = 0.1
"""Of the files that git knows, those that were added last."""
MIN_FILES = 10


class Slice(enum.StrEnum):
    """What a file is used for."""

    TRAINING = "training"
    VALIDATION = "validation"
    HELD_OUT = "held out"


def split_files(files: Sequence[CodeFile]) -> dict[Slice, list[CodeFile]]:
    """Every file in one slice, each slice not empty. Raises SettingsError if there are too few files."""
    if len(files) < MIN_FILES:
        raise SettingsError(
            f"There are only {len(files)} usable source files, and {MIN_FILES} are needed to train on some and to "
            "measure on others. Name further folders, or leave `--since` out."
        )
    newest = _newest_names(files)
    held_out_share = next(share for count, share in HELD_OUT_SHARES if len(files) < count)
    slices: dict[Slice, list[CodeFile]] = {part: [] for part in Slice}
    ordered = sorted(files, key=lambda file: _position(file.name))
    for file in ordered:
        position = _position(file.name)
        if file.name in newest or position < held_out_share:
            slices[Slice.HELD_OUT].append(file)
        elif position < held_out_share + VALIDATION_SHARE:
            slices[Slice.VALIDATION].append(file)
        else:
            slices[Slice.TRAINING].append(file)
    for part in (Slice.HELD_OUT, Slice.VALIDATION):
        if not slices[part]:
            slices[part].append(slices[Slice.TRAINING].pop(0))
    return slices


def _position(name: str) -> float:
    """From 0 to 1, uniform over names."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / (1 << 48)


def _newest_names(files: Sequence[CodeFile]) -> set[str]:
    """The files that were added last, if they were not all added at once."""
    dated = sorted((file.times.first_s, file.name) for file in files if file.times is not None)
    if not dated or dated[0][0] == dated[-1][0]:
        return set()
    count = max(1, round(NEW_SHARE * len(dated)))
    boundary_s = dated[-count][0]
    newest = {name for first_s, name in dated if first_s >= boundary_s}
    return newest if len(newest) <= 3 * count else set()  # a single large import is not new code
