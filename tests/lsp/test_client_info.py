from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.lsp.client_info import ClientInfo, read_client_info
from starcoder_ls.lsp.positions import Encoding

NAMES = ["capabilities", "general", "positionEncodings", "processId", "clientInfo", "name", "textDocument", "workspace"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


def test_declared_values_are_read() -> None:
    info = read_client_info(
        {
            "processId": 12,
            "clientInfo": {"name": "Editor", "version": "1.2"},
            "workspaceFolders": [{"uri": "file:///a", "name": "a"}, {"name": "no uri"}],
            "capabilities": {
                "general": {"positionEncodings": ["utf-8"]},
                "window": {"workDoneProgress": True, "showDocument": {"support": True}},
                "workspace": {"applyEdit": True, "didChangeWatchedFiles": {"dynamicRegistration": True}},
                "textDocument": {"inlineCompletion": {}},
                "experimental": {"starcoderStatus": True},
            },
        }
    )
    assert info == ClientInfo(
        name="Editor 1.2",
        process_id=12,
        encoding=Encoding.UTF_8,
        has_inline_completion=True,
        has_progress=True,
        has_file_watching=True,
        folders=("file:///a",),
        has_status=True,
        has_apply_edit=True,
        has_show_document=True,
    )


def test_root_uri_of_older_clients_is_their_only_folder() -> None:
    assert read_client_info({"rootUri": "file:///a"}).folders == ("file:///a",)
    assert read_client_info({"rootUri": None}).folders == ()


def test_change_annotations_imply_document_changes() -> None:
    edit = {"changeAnnotationSupport": {}}
    info = read_client_info({"capabilities": {"workspace": {"workspaceEdit": edit}}})
    assert info.has_document_changes
    assert info.has_annotations
    assert not info.has_annotations_in_actions


@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6))
def test_malformed_params_count_as_not_declared(params: dict[str, Any]) -> None:
    info = read_client_info(params)
    assert info.process_id is None or info.process_id > 0
    assert not info.has_progress


@pytest.mark.parametrize("process_id", [True, 0, -1, "12", 1.0, None])
def test_invalid_process_id_is_ignored(process_id: Any) -> None:
    assert read_client_info({"processId": process_id}).process_id is None
