"""``starcoder-ls act`` and ``explain``: an action on lines of a file.

A text answer is printed. An edit is printed as a diff or written to the file.
"""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from starcoder_ls import settings
from starcoder_ls.commands.support import actions, adapter_option, line_range
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.commands.support.engine_factory import DaemonOrLocalEngineFactory, loaded_engine
from starcoder_ls.rewrite import edits, perform_action

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class ActionInput:
    """What the user provides besides the code: an instruction, and the problems that a fix shall solve."""

    instruction: str = ""
    problems: tuple[str, ...] = ()


def run(
    action: str,
    region: str,
    overlay: dict[str, Any],
    settings_file: Path | None,
    adapter: str | None,
    language: str | None,
    action_input: ActionInput = ActionInput(),
    is_written: bool = False,
    is_json: bool = False,
) -> int:
    """The exit code is 0 when the text or the diff was printed or the file written.

    Raises ActionError, DocumentError, ModelError, SettingsError.
    """
    config = settings.load(overlay, file=settings_file)
    adapter = adapter_option.adapter_name(adapter, config)
    source, target = line_range.read_target(region, language, config.context.ignore)
    target = replace(target, instruction=action_input.instruction, diagnostics=action_input.problems)
    route = actions.select_route(config, action, target, adapter)
    factory = DaemonOrLocalEngineFactory(needs_adapter=lambda name, _: route is not None and name == route.adapter)
    with loaded_engine(config, factory, shows_progress=not is_json) as engine:
        prepared = perform_action.prepare_action(config, engine, action, target, actions.require_loaded(engine, route))
        if prepared.action.becomes == "text":
            return asyncio.run(actions.print_answer(engine, prepared, is_json))
        changes = asyncio.run(perform_action.compute_changes(engine, prepared))
    write_or_print_diff(source, edits.apply_changes(source.text, changes), is_written)
    return 0


def write_or_print_diff(source: line_range.Source, new_text: str, is_written: bool) -> None:
    """Write the file, or print the diff. On a terminal, control characters of the file are escaped."""
    if is_written:
        line_range.write_source(source, new_text)
        stderr.print(f"{source.name} is written", style="dim")
        return
    diff = line_range.unified_diff(source, new_text)
    if sys.stdout.isatty():
        diff = _CONTROL_CHARACTERS.sub(lambda match: f"\\x{ord(match[0]):02x}", diff.replace("\r\n", "\n"))
        print(diff, end="")
    else:
        sys.stdout.buffer.write(diff.encode("utf-8"))  # `patch` needs the exact bytes, including line ends
        sys.stdout.flush()
