"""What a client said of itself in ``initialize``, as far as it matters here.

Decides how to read it: value by value from plain JSON, because one enum value newer than our library must not cost
the whole session. Refuses to know what is done with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starcoder_ls.convert import Encoding, negotiated


@dataclass(frozen=True, slots=True)
class ClientFacts:
    name: str = ""
    process_id: int | None = None
    encoding: Encoding = Encoding.UTF_16
    has_inline_completion: bool = False
    has_progress: bool = False
    has_watched_files: bool = False
    """It watches files for us when asked."""
    folders: tuple[str, ...] = ()
    """URIs of the workspace folders."""
    wants_status: bool = False
    """It set ``experimental.starcoderStatus``: unasked, some editors warn of every notification they do not know."""


def read(params: Mapping[str, Any]) -> ClientFacts:
    """From the params of ``initialize``; whatever is missing or malformed counts as not said."""
    encodings = _at(params, "capabilities", "general", "positionEncodings")
    process_id = params.get("processId")
    name, version = _at(params, "clientInfo", "name"), _at(params, "clientInfo", "version")
    said = [str(part)[:60] for part in (name, version) if part]
    return ClientFacts(
        name=" ".join(said) or "an unnamed client",
        process_id=process_id if type(process_id) is int and process_id > 0 else None,
        encoding=negotiated(encodings if isinstance(encodings, list) else []),
        has_inline_completion=isinstance(_at(params, "capabilities", "textDocument", "inlineCompletion"), Mapping),
        has_progress=_at(params, "capabilities", "window", "workDoneProgress") is True,
        has_watched_files=_at(params, "capabilities", "workspace", "didChangeWatchedFiles", "dynamicRegistration")
        is True,
        folders=_folders(params),
        wants_status=_at(params, "capabilities", "experimental", "starcoderStatus") is True,
    )


def _folders(params: Mapping[str, Any]) -> tuple[str, ...]:
    """Older clients have one root, as a URI."""
    folders = params.get("workspaceFolders")
    found = [_at(folder, "uri") for folder in folders] if isinstance(folders, list) else [params.get("rootUri")]
    return tuple(uri for uri in found if isinstance(uri, str))


def _at(tree: object, *path: str) -> Any:
    for step in path:
        tree = tree.get(step) if isinstance(tree, Mapping) else None
    return tree
