"""``starcoder-ls complete``: a suggestion at a position of a file, for scripts, and to inspect the prompt."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from starcoder_ls import settings
from starcoder_ls.commands.support.adapter_routing import is_completion_adapter, with_routed_adapter
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.commands.support.engine_factory import DaemonOrLocalEngineFactory, loaded_engine
from starcoder_ls.commands.support.source_position import line_and_column, read_cursor, render_suggestion
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.prompt.build_prompt import FimPrompt, build_prompt
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.generation import Engine, SpecialToken


def run(
    position: str,
    overlay: dict[str, Any],
    settings_file: Path | None,
    candidates: int,
    is_json: bool,
    shows_prompt: bool,
) -> int:
    """Print the suggestions. The exit code is 1 if there is none. Raises DocumentError, ModelError, SettingsError."""
    config = settings.load(overlay, file=settings_file)
    cursor = read_cursor(position, config.context.ignore)
    with loaded_engine(config, DaemonOrLocalEngineFactory(needs_adapter=is_completion_adapter)) as engine:
        cursor = with_routed_adapter(engine, config, cursor)
        if shows_prompt:
            _print_prompt(engine, build_prompt(engine, cursor, config.inline_completion))
        suggestions = asyncio.run(suggest(engine, cursor, config.inline_completion, candidates))
    if is_json:
        described = [_describe(suggestion, cursor) for suggestion in suggestions]
        print(json.dumps({"suggestions": described}, ensure_ascii=False))
    elif sys.stdout.isatty():
        console = Console(highlight=False)
        for suggestion in suggestions:
            console.print(render_suggestion(cursor, suggestion.text), soft_wrap=True)
            console.print(_summary(suggestion), style="dim")
    else:
        print("\n".join(suggestion.text for suggestion in suggestions))
    if not suggestions:
        stderr.print("no suggestion here", style="dim")
    return 0 if suggestions else 1


def _describe(suggestion: Suggestion, cursor: Cursor) -> dict[str, Any]:
    line, column = line_and_column(cursor.text, suggestion.start)
    end_line, end_column = line_and_column(cursor.text, suggestion.end)
    return {
        "text": suggestion.text,
        "range": {"start": {"line": line, "column": column}, "end": {"line": end_line, "column": end_column}},
        "prompt_tokens": suggestion.prompt_tokens,
        "new_tokens": suggestion.new_tokens,
        "stop_reason": str(suggestion.finish_reason),
        "timings": dataclasses.asdict(suggestion.timings),
    }


def _summary(suggestion: Suggestion) -> str:
    timings = suggestion.timings
    total_ms = timings.queue_ms + timings.prefill_ms + timings.decode_ms
    return (
        f"{total_ms:.0f} ms: {suggestion.prompt_tokens} tokens read in {timings.prefill_ms:.0f} ms, "
        f"{suggestion.new_tokens} generated in {timings.decode_ms:.0f} ms; ended by {suggestion.finish_reason}"
    )


def _print_prompt(engine: Engine, fim_prompt: FimPrompt) -> None:
    stderr.print(f"family {fim_prompt.layout.family}, order {fim_prompt.layout.order}", style="bold")
    for part in fim_prompt.layout.parts:
        if isinstance(part, SpecialToken):
            stderr.print(Text(part.literal, style="bold magenta"))
        else:
            stderr.print(Text(part), Text(f"[{engine.count_tokens(part)} tokens]", style="dim"), soft_wrap=True)
