from __future__ import annotations

from typing import Any

import pytest

from starcoder_ls.actions import BUILT_IN
from starcoder_ls.errors import SettingsError
from starcoder_ls.settings import Settings, validate


def test_table_of_a_built_in_action_changes_only_its_own_keys() -> None:
    settings = validate(
        {"actions": {"explain": {"max_new_tokens": 9}, "mine": {"title": "M", "instruction": "Do."}}}, "a test"
    )
    assert list(settings.actions) == [*BUILT_IN, "mine"]
    assert settings.actions["explain"].title == "Explain"
    assert settings.actions["explain"].max_new_tokens == 9
    assert settings.actions["mine"].becomes == "replacement"
    assert validate(settings.model_dump(), "itself") == settings
    assert validate({}, "nothing") == Settings()


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ({"mine": {"instruction": "x"}}, "`actions.mine.title` is missing"),
        ({"mine": {"title": "M", "instruction": "{cod}"}}, "there is no placeholder {cod}; known are {instruction}"),
        ({"mine": {"title": "M", "instruction": "x", "kind": "source.fixAll"}}, "begins with `starcoder.`"),
        ({"explain": {"becomes": "magic"}}, "actions.explain.becomes"),
        ({"explain": {"tittle": "x"}}, "there is no setting `actions.explain.tittle`"),
        ({"explain": {"title": "a\x1bb"}}, "actions.explain.title"),
        ({"a b": {"title": "M", "instruction": "x"}}, "a b"),
        ({"explain": 5}, "actions.explain"),
        (5, "`actions`"),
    ],
)
def test_invalid_action_is_an_error_with_its_key(actions: Any, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        validate({"actions": actions}, "a test")
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", ["", "quickfix", "quickfix.mine", "starcoder.a.b", "refactor.rewrite"])
def test_kinds_that_editors_show_are_valid(kind: str) -> None:
    assert validate({"actions": {"explain": {"kind": kind}}}, "a test").actions["explain"].kind == kind
