"""What the client declared in ``initialize``, as far as this server uses it.

The values are read one by one from plain JSON: an enum value that is newer than lsprotocol must not fail the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starcoder_ls.lsp.positions import Encoding, negotiate

_MAX_NAME_CHARS = 60


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """The client's name, process, workspace folders and capabilities."""

    name: str = ""
    process_id: int | None = None
    encoding: Encoding = Encoding.UTF_16
    has_inline_completion: bool = False
    has_progress: bool = False
    has_file_watching: bool = False
    """The client watches files if the server registers for it."""
    folders: tuple[str, ...] = ()
    """URIs of the workspace folders."""
    has_status: bool = False
    """The client set ``experimental.starcoderStatus``. Some editors show a warning for each unknown notification, so
    status notifications are sent only to clients that ask for them."""
    has_instruct: bool = False
    """The client set ``experimental.starcoderInstruct``: its command ``starcoder.instruct`` asks the user for text."""
    has_action_literals: bool = False
    has_action_resolve: bool = False
    has_apply_edit: bool = False
    has_document_changes: bool = False
    """Declared, or implied by change annotations, which need it: Neovim 0.12 declares only those."""
    has_annotations: bool = False
    has_annotations_in_actions: bool = False
    has_show_document: bool = False


def read_client_info(params: Mapping[str, Any]) -> ClientInfo:
    """Read the params of ``initialize``. A missing or malformed value counts as not declared."""
    encodings = _get(params, "capabilities", "general", "positionEncodings")
    process_id = params.get("processId")
    name, version = _get(params, "clientInfo", "name"), _get(params, "clientInfo", "version")
    action = _get(params, "capabilities", "textDocument", "codeAction")
    resolvable = _get(action, "resolveSupport", "properties")
    edit = _get(params, "capabilities", "workspace", "workspaceEdit")
    has_annotations = isinstance(_get(edit, "changeAnnotationSupport"), Mapping)
    watching = _get(params, "capabilities", "workspace", "didChangeWatchedFiles", "dynamicRegistration")
    name_parts = [str(part)[:_MAX_NAME_CHARS] for part in (name, version) if part]
    return ClientInfo(
        name=" ".join(name_parts) or "an unnamed client",
        process_id=process_id if type(process_id) is int and process_id > 0 else None,
        encoding=negotiate(encodings if isinstance(encodings, list) else []),
        has_inline_completion=_has_key(_get(params, "capabilities", "textDocument"), "inlineCompletion"),
        has_progress=_get(params, "capabilities", "window", "workDoneProgress") is True,
        has_file_watching=watching is True,
        folders=_folders(params),
        has_status=_get(params, "capabilities", "experimental", "starcoderStatus") is True,
        has_instruct=_get(params, "capabilities", "experimental", "starcoderInstruct") is True,
        has_action_literals=isinstance(_get(action, "codeActionLiteralSupport"), Mapping),
        has_action_resolve=isinstance(resolvable, list)
        and "edit" in resolvable
        and _get(action, "dataSupport") is True,
        has_apply_edit=_get(params, "capabilities", "workspace", "applyEdit") is True,
        has_document_changes=_get(edit, "documentChanges") is True or has_annotations,
        has_annotations=has_annotations,
        has_annotations_in_actions=has_annotations and _get(action, "honorsChangeAnnotations") is True,
        has_show_document=_get(params, "capabilities", "window", "showDocument", "support") is True,
    )


def _folders(params: Mapping[str, Any]) -> tuple[str, ...]:
    """The workspace folders; of older clients the single root."""
    folders = params.get("workspaceFolders")
    uris = [_get(folder, "uri") for folder in folders] if isinstance(folders, list) else [params.get("rootUri")]
    return tuple(uri for uri in uris if isinstance(uri, str))


def _has_key(tree: object, key: str) -> bool:
    """Whether ``key`` is declared, with options or null: Emacs' lsp-mode 10.0 sends null where LSP has ``{}``."""
    return isinstance(tree, Mapping) and key in tree and isinstance(tree[key], Mapping | None)


def _get(tree: object, *path: str) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree
