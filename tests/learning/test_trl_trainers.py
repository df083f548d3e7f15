from __future__ import annotations

import pytest

from starcoder_ls.learning import trl_trainers


def test_tokenizer_for_trl_knows_no_text() -> None:
    tokenizer = trl_trainers.padding_tokenizer()
    assert tokenizer.pad_token_id == 0
    assert set(tokenizer("return <|endoftext|>")["input_ids"]) <= {0}


@pytest.mark.parametrize("trainer", [trl_trainers.DpoTrainer, trl_trainers.KtoTrainer])
def test_trainers_report_nothing_and_leave_rows_alone(trainer: type, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", lambda *_, **__: sent.append(1))
    monkeypatch.delenv("CI", raising=False)
    bare = trainer.__new__(trainer)
    bare._send_telemetry()
    assert not sent
    rows = object()
    assert bare._prepare_dataset(rows, None, None, "train") is rows
