"""What tests of code actions share: clients' capabilities, an adapter that does everything, and the client's half."""

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
"""As Neovim 0.12 says it, as far as it matters here."""

PLAIN: dict[str, Any] = {"textDocument": INLINE_COMPLETION["textDocument"], "workspace": {"applyEdit": True}}
"""A client that knows commands only."""


def span(first: int, last: int, first_column: int = 0, last_column: int = 0) -> dict[str, Any]:
    return {
        "start": {"line": first, "character": first_column},
        "end": {"line": last, "character": last_column},
    }


def code_actions(client: Client, where: dict[str, Any], uri: str = URI, **context: Any) -> PendingRequest:
    return client.request(
        "textDocument/codeAction",
        {"textDocument": {"uri": uri}, "range": where, "context": {"diagnostics": [], "triggerKind": 1, **context}},
    )


def run(client: Client, command: str, *arguments: Any) -> PendingRequest:
    return client.request("workspace/executeCommand", {"command": command, "arguments": list(arguments)})


async def resolved(client: Client, title: str, where: dict[str, Any], uri: str = URI, **context: Any) -> dict[str, Any]:
    """The action called ``title``, resolved."""
    offered = await code_actions(client, where, uri, **context)
    (action,) = [action for action in offered or [] if action["title"].startswith(title)]
    result: dict[str, Any] = await client.request("codeAction/resolve", action)
    return result


def applied(text: str, action: dict[str, Any]) -> str:
    """``text`` after the edit of a resolved action, applied as an editor with UTF-16 positions does."""
    (change,) = action["edit"]["documentChanges"]
    return with_edits(text, change["edits"])


def with_edits(text: str, edits: list[dict[str, Any]]) -> str:
    for edit in sorted(edits, key=lambda one: tuple(one["range"]["start"].values()), reverse=True):
        start, end = (_offset(text, edit["range"][side]) for side in ("start", "end"))
        text = text[:start] + edit["newText"] + text[end:]
    return text


def _offset(text: str, place: dict[str, int]) -> int:
    end = "\r\n" if "\r\n" in text else "\n"
    rows = text.split(end)
    units = rows[place["line"]].encode("utf-16-le")[: 2 * place["character"]]
    return sum(len(row) + len(end) for row in rows[: place["line"]]) + len(units.decode("utf-16-le"))
