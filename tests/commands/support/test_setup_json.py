from __future__ import annotations

import json

import pytest

from starcoder_ls.commands.support.setup_json import print_error
from starcoder_ls.engine.loading import hub_errors
from starcoder_ls.errors import DiskFull, HubUnreachable, ModelError, ModelGated, ModelInvalid, TokenRejected

PAGE = {"page": "https://hub.test/owner/model"}
LOGIN = {"login": "hf auth login"}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TokenRejected("Bad."), {"kind": "token", **LOGIN}),
        (ModelGated("Gated."), {"kind": "licence", **PAGE, **LOGIN}),
        (DiskFull("Full."), {"kind": "disk"}),
        (HubUnreachable("Away."), {"kind": "connection"}),
        (ModelInvalid("Broken."), {"kind": "other"}),
    ],
)
def test_error_has_what_its_remedies_need(
    error: ModelError, expected: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.test")
    monkeypatch.setattr(hub_errors.shutil, "which", lambda _: "/bin/hf")
    print_error(error, "owner/model")
    assert json.loads(capsys.readouterr().out) == {"error": {"message": str(error), **expected}}
