from __future__ import annotations

from starcoder_ls.features import execute_command
from starcoder_ls.session.action_request import COMMANDS, action_kind
from starcoder_ls.settings import Settings


def test_every_declared_command_has_a_handler() -> None:
    assert set(COMMANDS) == set(execute_command._COMMANDS)


def test_built_in_actions_have_kinds_that_editors_show() -> None:
    kinds = {name: action_kind(name, action) for name, action in Settings().actions.items()}
    assert kinds.pop("fix") == "quickfix"
    assert all(kind == f"starcoder.{name}" for name, kind in kinds.items())
