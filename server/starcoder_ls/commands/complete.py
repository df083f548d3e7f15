"""``starcoder-ls complete``: one place in one file, for scripts and for a look at what the model sees."""

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
from starcoder_ls.commands.support.engines import completes, loaded, routed, stderr
from starcoder_ls.commands.support.source_position import as_ghost, cursor_at, line_and_column
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.prompt.build_prompt import FimPrompt, build_prompt
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.generation import Engine, SpecialToken


def run(place: str, overlay: dict[str, Any], file: Path | None, candidates: int, is_json: bool, is_traced: bool) -> int:
    """0 with a suggestion on standard output, 1 with none."""
    chosen = settings.load(overlay, file=file)
    cursor = cursor_at(place, chosen.context.ignore)
    with loaded(chosen, needed=completes, may_borrow=True) as engine:
        cursor = routed(engine, chosen, cursor)
        if is_traced:
            _trace(engine, build_prompt(engine, cursor, chosen.inline_completion))
        found = asyncio.run(suggest(engine, cursor, chosen.inline_completion, candidates))
    if is_json:
        print(json.dumps({"suggestions": [_described(s, cursor) for s in found]}, ensure_ascii=False))
    elif sys.stdout.isatty():
        console = Console(highlight=False)
        for suggestion in found:
            console.print(as_ghost(cursor, suggestion.text), soft_wrap=True)
            console.print(_summary(suggestion), style="dim")
    else:
        print("\n".join(suggestion.text for suggestion in found))
    if not found:
        stderr.print("no suggestion here", style="dim")
    return 0 if found else 1


def _described(suggestion: Suggestion, cursor: Cursor) -> dict[str, Any]:
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
        f"{suggestion.new_tokens} written in {timings.decode_ms:.0f} ms; ended by {suggestion.finish_reason}"
    )


def _trace(engine: Engine, asked: FimPrompt) -> None:
    stderr.print(f"family {asked.layout.family}, order {asked.layout.order}", style="bold")
    for part in asked.layout.parts:
        if isinstance(part, SpecialToken):
            stderr.print(Text(part.literal, style="bold magenta"))
        else:
            stderr.print(Text(part), Text(f"[{engine.count_tokens(part)} tokens]", style="dim"), soft_wrap=True)
