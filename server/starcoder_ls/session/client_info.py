"""What a client said of itself in ``initialize``, as far as it matters here.

Decides how to read it: value by value from plain JSON, because one enum value newer than our library must not cost
the whole session. Refuses to know what is done with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starcoder_ls.lsp.positions import Encoding, negotiated


@dataclass(frozen=True, slots=True)
class ClientInfo:
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
    can_instruct: bool = False
    """It set ``experimental.starcoderInstruct``: its own command ``starcoder.instruct`` asks the user for a line."""
    has_action_literals: bool = False
    has_action_resolve: bool = False
    has_apply_edit: bool = False
    has_document_changes: bool = False
    """Said, or implied by annotations, which stand in nothing else: Neovim 0.12 says only those."""
    has_annotations: bool = False
    has_annotations_in_actions: bool = False
    has_show_document: bool = False


def read(params: Mapping[str, Any]) -> ClientInfo:
    """From the params of ``initialize``; whatever is missing or malformed counts as not said."""
    encodings = _at(params, "capabilities", "general", "positionEncodings")
    process_id = params.get("processId")
    name, version = _at(params, "clientInfo", "name"), _at(params, "clientInfo", "version")
    action = _at(params, "capabilities", "textDocument", "codeAction")
    resolvable = _at(action, "resolveSupport", "properties")
    edit = _at(params, "capabilities", "workspace", "workspaceEdit")
    has_annotations = isinstance(_at(edit, "changeAnnotationSupport"), Mapping)
    said = [str(part)[:60] for part in (name, version) if part]
    return ClientInfo(
        name=" ".join(said) or "an unnamed client",
        process_id=process_id if type(process_id) is int and process_id > 0 else None,
        encoding=negotiated(encodings if isinstance(encodings, list) else []),
        has_inline_completion=_is_named(_at(params, "capabilities", "textDocument"), "inlineCompletion"),
        has_progress=_at(params, "capabilities", "window", "workDoneProgress") is True,
        has_watched_files=_at(params, "capabilities", "workspace", "didChangeWatchedFiles", "dynamicRegistration")
        is True,
        folders=_folders(params),
        wants_status=_at(params, "capabilities", "experimental", "starcoderStatus") is True,
        can_instruct=_at(params, "capabilities", "experimental", "starcoderInstruct") is True,
        has_action_literals=isinstance(_at(action, "codeActionLiteralSupport"), Mapping),
        has_action_resolve=isinstance(resolvable, list) and "edit" in resolvable and _at(action, "dataSupport") is True,
        has_apply_edit=_at(params, "capabilities", "workspace", "applyEdit") is True,
        has_document_changes=_at(edit, "documentChanges") is True or has_annotations,
        has_annotations=has_annotations,
        has_annotations_in_actions=has_annotations and _at(action, "honorsChangeAnnotations") is True,
        has_show_document=_at(params, "capabilities", "window", "showDocument", "support") is True,
    )


def _folders(params: Mapping[str, Any]) -> tuple[str, ...]:
    """Older clients have one root, as a URI."""
    folders = params.get("workspaceFolders")
    found = [_at(folder, "uri") for folder in folders] if isinstance(folders, list) else [params.get("rootUri")]
    return tuple(uri for uri in found if isinstance(uri, str))


def _is_named(tree: object, name: str) -> bool:
    """With what options or with none: Emacs' lsp-mode 10.0 writes ``null`` where the protocol has ``{}``."""
    return isinstance(tree, Mapping) and name in tree and isinstance(tree[name], Mapping | None)


def _at(tree: object, *path: str) -> Any:
    for step in path:
        tree = tree.get(step) if isinstance(tree, Mapping) else None
    return tree
