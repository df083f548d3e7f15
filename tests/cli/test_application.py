from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from starcoder_ls import commands
from starcoder_ls.cli.application import application

MODULES_OF_SEVERAL_VERBS = {
    "explain": "act",
    "ps": "processes",
    "stop": "processes",
    "logs": "processes",
    "train_unpack": "train_pack",
    "train_rollback": "train_promote",
}


def commands_of(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Name and command of each verb; those of a group begin with the name of the group."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, f"{name}_")
        else:
            yield prefix + name, command


COMMANDS = dict(commands_of(typer.main.get_command(application)))


@pytest.mark.parametrize("verb", COMMANDS)
def test_command_has_a_module_named_after_its_verb(verb: str) -> None:
    module = MODULES_OF_SEVERAL_VERBS.get(verb, verb).replace("-", "_")
    assert (Path(commands.__file__).parent / f"{module}.py").is_file()


@pytest.mark.parametrize("verb", COMMANDS)
def test_command_has_a_help_text(verb: str) -> None:
    assert COMMANDS[verb].help
