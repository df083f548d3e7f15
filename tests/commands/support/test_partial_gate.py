from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scored_pairs import pairs_of
from starcoder_ls.commands.support import partial_gate
from starcoder_ls.evaluation.comparison import Pair
from starcoder_ls.learning.finetuning.versions import Version
from starcoder_ls.settings import Settings
from training_records import add_version

HELD_OUT = ("a.py\nx = 1\n", "b.py\ny = 2\n")


@pytest.fixture
def version(tmp_path: Path) -> Version:
    for name in ("base", "start"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"0")
    version = add_version(tmp_path / "state", base=str(tmp_path / "base"), start=str(tmp_path / "start"))
    (version.folder / "adapter_model.safetensors").write_bytes(b"0")
    return version


@pytest.fixture
def changes(version: Version) -> Callable[..., set[str]]:
    """A function that returns the conditions that differ from those at first."""

    def conditions(now: Version = version, held_out: tuple[str, ...] = HELD_OUT, **settings: Any) -> dict[str, str]:
        return partial_gate.conditions(now, Settings.model_validate(settings), held_out)

    def compare(*arguments: Any, **named: Any) -> set[str]:
        now = conditions(*arguments, **named)
        return {name for name in now if now[name] != first[name]}

    first = conditions()
    return compare


def test_each_thing_that_answers_depend_on_is_a_condition(
    version: Version, changes: Callable[..., set[str]], tmp_path: Path
) -> None:
    assert changes(inline_completion={"prompt_tokens": 512}) == {"settings"}
    assert changes(held_out=HELD_OUT[::-1]) == {"held-out code"}
    assert changes(held_out=("a.py\nx = 1\nb.py\n", "y = 2\n")) == {"held-out code"}
    other = dataclasses.replace(version, training=version.training | {"base": "another"})
    assert changes(other) == {"weights"}
    for folder in (tmp_path / "base", tmp_path / "start", version.folder):
        (file,) = folder.glob("*.safetensors")
        status = file.stat()
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))
        assert changes() == {"weights"}
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert changes() == set()


def test_what_answers_do_not_depend_on_is_no_condition(version: Version, changes: Callable[..., set[str]]) -> None:
    for name in ("gate.json", "gate.json.partial", "README.md"):
        (version.folder / name).write_text("{}")
    assert changes(adapters={"own": {"path": "/own"}}, model={"name": "/own/current/merged"}) == set()


def test_interruption_and_continuation_are_reported(version: Version, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = pairs_of(1, 1, 1)

    def add_and_end(held_out: tuple[str, ...], added: int) -> None:
        with partial_gate.kept_answers(version, Settings(), held_out, Pair, "holes") as kept:
            for pair in pairs[:added]:
                kept.add(pair[0].id, pair)
            raise KeyboardInterrupt

    def gate(held_out: tuple[str, ...] = HELD_OUT, added: int = 0) -> str:
        """What is said by a gate that is interrupted after so many holes."""
        with pytest.raises(KeyboardInterrupt):
            add_and_end(held_out, added)
        return " ".join(capsys.readouterr().err.split())

    assert gate() == ""
    first = gate(added=2)
    assert (
        f"The answers are kept (holes answered: 2): `starcoder-ls train gate own --version {version.name}` continues"
        in first
    )
    assert gate(added=3).startswith("The gate was interrupted and continues; holes answered so far: 2. The answers")
    assert gate(("other",)) == "The interrupted gate begins again, because of changes in: held-out code."
    with partial_gate.kept_answers(version, Settings(), HELD_OUT, Pair, "holes") as kept:
        assert list(kept.answers.values()) == pairs
