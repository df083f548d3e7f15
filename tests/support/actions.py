"""Helpers for tests of code actions: capabilities of clients, an adapter for every action, and requests."""

from __future__ import annotations

from typing import Any

from harness import INLINE_COMPLETION, URI
from starcoder_ls.lsp.client import Client, PendingRequest

ADAPTER: dict[str, Any] = {"adapters": {"astraios": {"path": "bigcode/astraios-7b-parallel"}}}
EDITOR: dict[str, Any] = {
    "textDocument": {
        **INLINE_COMPLETION["textDocument"],
        "codeAction": {
            "codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["", "quickfix"]}},
            "dataSupport": True,
            "resolveSupport": {"properties": ["edit", "command"]},
            "honorsChangeAnnotations": True,
        },
    },
    "workspace": {
        "applyEdit": True,
        "workspaceEdit": {"documentChanges": True, "changeAnnotationSupport": {"groupsOnLabel": True}},
    },
    "window": {"showDocument": {"support": True}},
}
"""The capabilities of Neovim 0.12 that matter here."""

COMMANDS_ONLY: dict[str, Any] = {"textDocument": INLINE_COMPLETION["textDocument"], "workspace": {"applyEdit": True}}
"""The capabilities of a client that supports commands only."""


def lsp_range(first: int, last: int, first_column: int = 0, last_column: int = 0) -> dict[str, Any]:
    return {
        "start": {"line": first, "character": first_column},
        "end": {"line": last, "character": last_column},
    }


def code_actions(client: Client, range_: dict[str, Any], uri: str = URI, **context: Any) -> PendingRequest:
    return client.request(
        "textDocument/codeAction",
        {"textDocument": {"uri": uri}, "range": range_, "context": {"diagnostics": [], "triggerKind": 1, **context}},
    )


def execute_command(client: Client, command: str, *arguments: Any) -> PendingRequest:
    return client.request("workspace/executeCommand", {"command": command, "arguments": list(arguments)})


async def resolve_action(
    client: Client, title: str, range_: dict[str, Any], uri: str = URI, **context: Any
) -> dict[str, Any]:
    """The action whose title begins with ``title``, resolved."""
    offered = await code_actions(client, range_, uri, **context)
    (action,) = [action for action in offered or [] if action["title"].startswith(title)]
    result: dict[str, Any] = await client.request("codeAction/resolve", action)
    return result


def apply_action(text: str, action: dict[str, Any]) -> str:
    """``text`` after the edit of a resolved action, applied as an editor with UTF-16 positions does."""
    (change,) = action["edit"]["documentChanges"]
    return apply_edits(text, change["edits"])


def apply_edits(text: str, edits: list[dict[str, Any]]) -> str:
    for edit in sorted(edits, key=lambda edit: tuple(edit["range"]["start"].values()), reverse=True):
        start, end = (_offset(text, edit["range"][side]) for side in ("start", "end"))
        text = text[:start] + edit["newText"] + text[end:]
    return text


def _offset(text: str, position: dict[str, int]) -> int:
    line_end = "\r\n" if "\r\n" in text else "\n"
    lines = text.split(line_end)
    units = lines[position["line"]].encode("utf-16-le")[: 2 * position["character"]]
    return sum(len(line) + len(line_end) for line in lines[: position["line"]]) + len(units.decode("utf-16-le"))
