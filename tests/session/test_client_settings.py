from __future__ import annotations

from typing import Any

import pytest

from fakes import SCRIPTED_SETTINGS
from starcoder_ls.session.client_settings import ClientSettings, unwrap
from starcoder_ls.settings import Adapter, Log


class Fixture:
    """The settings of a client and the warnings that its user gets."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.settings = ClientSettings(SCRIPTED_SETTINGS, self.warnings.append)


def test_valid_options_override_only_what_they_name() -> None:
    fixture = Fixture()
    fixture.settings.apply({"inline_completion": {"max_new_tokens": 5}}, "the options")
    assert fixture.settings.current.inline_completion.max_new_tokens == 5
    assert fixture.settings.current.model == SCRIPTED_SETTINGS.model
    assert fixture.warnings == []


def test_invalid_value_changes_nothing_and_warns_with_the_source() -> None:
    fixture = Fixture()
    options = {"inline_completion": {"max_new_tokens": -1, "candidates": 2}}
    fixture.settings.apply(options, "the options")
    assert fixture.settings.current is SCRIPTED_SETTINGS
    (warning,) = fixture.warnings
    assert "the options" in warning
    assert "inline_completion.max_new_tokens" in warning


def test_options_nested_hundreds_of_levels_deep_are_one_warning() -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = {"a": deep}
    for options in (deep, {"model": deep}, {"model": {"name": deep}}, {"adapters": {"n": {"tasks": [deep]}}}):
        fixture = Fixture()
        fixture.settings.apply(options, "the options")
        assert len(fixture.warnings) == 1
        assert fixture.settings.current == SCRIPTED_SETTINGS


@pytest.mark.parametrize(("has_other_sections", "warning_count"), [(False, 1), (True, 0)])
def test_unknown_keys_warn_unless_other_sections_are_expected(has_other_sections: bool, warning_count: int) -> None:
    fixture = Fixture()
    options = {"python": {}, "trace": "off", "token": "x", "log": {"level": "debug"}}
    fixture.settings.apply(options, "the options", has_other_sections)
    assert fixture.settings.current.log.level == "debug"
    assert len(fixture.warnings) == warning_count
    assert all("`python`" in warning and "trace" not in warning for warning in fixture.warnings)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"starcoder": {"log": {}}, "python": {}}, {"log": {}}),
        ({"starcoder-ls": {"log": {}}}, {"log": {}}),
        ({"starcoder": None, "log": {}}, {"starcoder": None, "log": {}}),
        (None, None),
        ([], None),
    ],
)
def test_unwrap_returns_the_own_section_or_the_whole_tree(options: Any, expected: Any) -> None:
    assert unwrap(options) == expected


def test_adapters_are_set_and_removed_without_modifying_the_old_settings() -> None:
    fixture, adapter = Fixture(), Adapter(path="x")
    fixture.settings.set_adapter("one", adapter)
    with_adapter = fixture.settings.current
    fixture.settings.remove_adapter("one")
    assert with_adapter.adapters == {"one": adapter}
    assert fixture.settings.current.adapters == {}
    assert SCRIPTED_SETTINGS.adapters == {}


def test_options_of_the_client_apply_to_replaced_settings_too() -> None:
    fixture = Fixture()
    fixture.settings.apply({"inline_completion": {"max_new_tokens": 5}}, "the options")
    fixture.settings.apply({"inline_completion": {"candidates": -1}}, "the options")
    initial = SCRIPTED_SETTINGS.model_copy(update={"log": Log(level="debug")})

    fixture.settings.replace_initial(initial)

    assert fixture.settings.current.inline_completion.max_new_tokens == 5
    assert fixture.settings.current.log.level == "debug"
    assert len(fixture.warnings) == 1


def test_model_of_the_editor_does_not_inherit_tasks_of_another() -> None:
    fixture = Fixture()
    fixture.settings.apply({"model": {"name": "a/chat", "tasks": ["instruct"]}}, "the options")
    assert fixture.settings.current.model.tasks == ("instruct",)

    fixture.settings.apply({"model": {"name": "b/base"}}, "the options")

    assert fixture.settings.current.model.tasks == ("completion",)
