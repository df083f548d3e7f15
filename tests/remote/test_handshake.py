from __future__ import annotations

import json
from pathlib import Path

import pytest

import starcoder_ls
from fake_vllm import FakeVllm, serving
from remote_engines import ready_engine, running, settings_for
from starcoder_ls.generation import Capabilities, Phase, Status
from starcoder_ls.remote.remote_engine import RemoteEngine
from starcoder_ls.settings import Adapter


def status_of(fake: FakeVllm, folder: Path, **remote: object) -> Status:
    engine = RemoteEngine(settings_for(fake.url, folder, **remote), is_patient=False)
    with running(engine):
        return engine.status()


def test_status_has_model_context_adapters_and_capabilities(tmp_path: Path) -> None:
    with serving(FakeVllm(adapters=("style",), context_tokens=4096)) as fake:
        status = status_of(fake, tmp_path)
        assert (status.phase, status.model, status.context_tokens) == (Phase.READY, "coder", 4096)
        assert [adapter.name for adapter in status.adapters] == ["style"]
        assert "<fim_prefix>" in status.special_tokens
        assert status.capabilities == Capabilities(
            document_ngrams=False, prefill_delay_s=None, attach=False, cache_salt=True
        )
        assert status_of(fake, tmp_path, prefill="idle").capabilities.prefill_delay_s == 0.15


def test_adapter_that_the_server_lacks_is_a_missing_one_with_a_message(tmp_path: Path) -> None:
    adapters = {"style": Adapter(path="/a"), "tests": Adapter(path="/b")}
    with serving(FakeVllm(adapters=("style",))) as fake:
        status = status_of(fake, tmp_path, adapters=adapters)
    assert (status.phase, status.missing_adapters) == (Phase.READY, ("tests",))
    assert "no adapter tests" in status.message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "other"}, "has no model coder; it has: other"),
        ({"owner": "sglang"}, "neither vLLM nor llama.cpp"),
    ],
)
def test_wrong_model_or_server_fails_with_what_to_correct(tmp_path: Path, change: dict[str, str], message: str) -> None:
    with serving(FakeVllm(**change)) as fake:  # type: ignore[arg-type]
        status = status_of(fake, tmp_path, model="coder")
    assert status.phase is Phase.FAILED
    assert message in status.message


def test_server_without_constraints_is_used_without_token_healing(tmp_path: Path) -> None:
    with serving(FakeVllm(has_constraints=False)) as fake, ready_engine(settings_for(fake.url, tmp_path)) as engine:
        assert not engine.status().capabilities.forced_prefix
        assert "cannot force" in engine.status().message


def test_other_tokenizer_at_the_server_is_detected(tmp_path: Path) -> None:
    declared = json.loads((Path(starcoder_ls.__file__).parent / "bundled" / "tokenizer.json").read_text())
    ids = declared["model"]["vocab"]
    ids["def"], ids["return"] = ids["return"], ids["def"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(declared))
    with serving(FakeVllm()) as fake:
        status = status_of(fake, tmp_path, tokenizer=str(tmp_path))
    assert status.phase is Phase.FAILED
    assert "not that of coder" in status.message
