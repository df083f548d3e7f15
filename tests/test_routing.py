from __future__ import annotations

import os

import pytest

from starcoder_ls.routing import Route, route
from starcoder_ls.settings import Adapter, Settings, validate

SETTINGS = validate(
    {
        "model": {"name": "bigcode/starcoderbase-7b"},
        "adapters": {
            "astraios": {"path": "bigcode/astraios-7b-parallel"},
            "explainer": {"path": "e", "tasks": ["explain"]},
            "python": {"path": "p", "tasks": ["completion"], "languages": ["python"]},
            "tests": {"path": "t", "tasks": ["completion", "fix"], "files": ["tests/", "*_test.py"]},
        },
    },
    "a test",
)
ALL = ("astraios", "explainer", "python", "tests")


@pytest.mark.parametrize(
    ("task", "language", "path", "adapter"),
    [
        ("fix", "python", "/home/me/a.py", "astraios"),
        ("explain", "python", "/home/me/a.py", "explainer"),
        ("my-own-action", "", "", "astraios"),
        ("completion", "python", "/home/me/a.py", "python"),
        ("completion", "python3", "/home/me/a.py", "python"),
        ("completion", "rust", "/home/me/a.rs", None),
        ("completion", "python", "/home/me/tests/a.py", "tests"),
        ("completion", "python", "/home/me/a_test.py", "tests"),
        ("fix", "python", "/home/me/tests/a.py", "tests"),
    ],
)
def test_most_specific_adapter_does_the_task(task: str, language: str, path: str, adapter: str | None) -> None:
    assert route(SETTINGS, ALL, task, language, path) == Route(adapter)


@pytest.mark.parametrize(("path", "adapter"), [(r"c:\home\tests\a.py", "tests"), (r"c:\home\a.py", "python")])
def test_files_of_an_adapter_are_found_with_the_separator_of_windows(
    path: str, adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as windows:
        windows.setattr(os, "sep", "\\")
        found = route(SETTINGS, ALL, "completion", "python", path)
    assert found == Route(adapter)


def test_adapter_that_is_not_resident_is_not_selected() -> None:
    assert route(SETTINGS, ("astraios",), "explain") == Route("astraios")
    assert route(SETTINGS, (), "explain") is None
    assert route(SETTINGS, (), "completion", "python") == Route()


def test_instruction_tuned_base_model_does_every_action() -> None:
    tuned = validate({"model": {"name": "x", "tasks": ["completion", "instruct"]}}, "a test")
    assert route(tuned, (), "explain") == Route()
    assert route(Settings(), (), "test") is None


def test_adapter_of_the_user_precedes_that_of_the_bundled_model() -> None:
    own = Settings(adapters={"mine": Adapter(path="x", tasks=("instruct",))})
    assert route(own, ["explain", "mine"], "explain") == Route("mine")
    assert route(own, ["explain"], "explain") == Route("explain")
