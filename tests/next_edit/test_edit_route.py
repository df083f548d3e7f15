from __future__ import annotations

import pytest

from starcoder_ls.generation import AdapterStatus, Phase, Status
from starcoder_ls.next_edit.edit_route import EditRoute, find_edit_route, may_edit
from starcoder_ls.settings import Settings, validate

COMMIT = frozenset({"<commit_before>", "<commit_msg>", "<commit_after>"})


def settings_of(model: str = "some/model", **adapters: dict[str, object]) -> Settings:
    described = {name: {"path": "somewhere", "tasks": ["rewrite"], **given} for name, given in adapters.items()}
    return validate({"model": {"name": model}, "adapters": described}, "the test")


def status_of(*adapters: str, tokens: frozenset[str] = COMMIT) -> Status:
    return Status(Phase.READY, special_tokens=tokens, adapters=tuple(map(AdapterStatus, adapters)))


def test_resident_edit_adapter_comes_before_the_base() -> None:
    settings = settings_of(mine={"template": "edits"})
    assert find_edit_route(settings, status_of("mine"), "python") == EditRoute("commit", "mine")
    assert find_edit_route(settings, status_of(), "python") == EditRoute("commit"), "it is not loaded"
    assert find_edit_route(settings, status_of("mine", tokens=frozenset())) == EditRoute("issue", "mine")


@pytest.mark.parametrize("given", [{}, {"template": "edits", "tasks": ["fix"]}, {"template": "edits", "files": ["b/"]}])
def test_adapter_for_other_tasks_formats_and_files_is_not_used(given: dict[str, object]) -> None:
    assert find_edit_route(settings_of(mine=given), status_of("mine"), "python", "a/x.py") == EditRoute("commit")


def test_bundled_model_edits_with_an_adapter_only() -> None:
    assert not may_edit(settings_of("bundled"))
    assert find_edit_route(settings_of("bundled"), status_of()) is None
    with_adapter = settings_of("bundled", mine={"template": "edits"})
    assert may_edit(with_adapter)
    assert may_edit(settings_of())
    assert find_edit_route(with_adapter, status_of("mine")) == EditRoute("commit", "mine")
