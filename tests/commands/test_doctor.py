from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from checkpoints import copy_checkpoint, edit_config
from fake_vllm import FakeVllm, serving
from remote_engines import write_token
from starcoder_ls.commands import doctor
from starcoder_ls.engine.loading import hub
from starcoder_ls.generation import AdapterStatus
from starcoder_ls.settings import Adapter

pytest.importorskip("torch")


def test_adapters_are_listed_with_the_commit_of_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    commits = {("owner/name", "v1"): "0123456789" * 4}
    monkeypatch.setattr(hub, "find_commit", lambda *source: commits.get(source, ""))
    configured = {"mine": Adapter(path="owner/name", revision="v1"), "local": Adapter(path="/folder")}

    texts = [doctor.describe_adapter(AdapterStatus(name, "LORA"), configured) for name in ("mine", "local", "gone")]

    assert texts == [f"mine (LORA, commit {'0123456789' * 4})", "local (LORA)", "gone (LORA)"]


@pytest.mark.parametrize(
    "changes",
    [
        {"n_head": 0},
        {"n_embd": "48", "n_head": "4"},
        {"architectures": {"a": [[]]}},
        {"activation_function": "no such function"},
        {"layer_norm_epsilon": "small"},
        {"multi_query": [1]},
        {"eos_token_id": [[0]]},
    ],
)
def test_broken_config_gives_one_sentence(
    changes: dict[str, Any], starcoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_checkpoint(starcoder, tmp_path / "copy")
    edit_config(folder, **changes)
    assert doctor.run({"model": {"name": str(folder), "device": "cpu"}}, None) == 1
    printed = capsys.readouterr()
    assert "✗ " in printed.out
    assert "Traceback" not in printed.out + printed.err


def test_adapter_that_a_server_drops_is_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake = FakeVllm(lambda _: "the same", adapters=("style",))
    with serving(fake):
        assert doctor.run({"remote": {"url": fake.url, "token_file": write_token(tmp_path)}}, None) == 1
    printed = capsys.readouterr().out
    assert "NOT APPLIED" in printed
    assert printed.endswith("✗ The adapter style does not work on the server.\n")
    assert "healthy" not in printed
