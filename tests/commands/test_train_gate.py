from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from harness import FAKE_SERVER_COMMAND
from scored_pairs import pairs_of
from starcoder_ls.commands import train_gate
from starcoder_ls.commands.support.adapter_option import name_from_path
from starcoder_ls.commands.support.gate_holes import GateHoles
from starcoder_ls.errors import EngineError, SettingsError
from starcoder_ls.evaluation import completion_client
from starcoder_ls.evaluation.comparison import Pair
from starcoder_ls.evaluation.holes import Hole
from starcoder_ls.evaluation.results import Texts
from starcoder_ls.learning.finetuning.versions import AdapterVersions, Version
from training_records import add_version


def test_verdict_is_stored_and_decides_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    losses = {"base": {"loss": 2.0, "middle_loss": 2.0}, "adapted": {"loss": 2.0, "middle_loss": 2.5}}
    version = add_version(tmp_path / "adapters", held_out_loss=losses, held_out_files=[__file__])
    assert train_gate.run("own", None, None, None) == 1
    assert "own is refused" in capsys.readouterr().out
    stored = AdapterVersions("own").find().gate
    assert not stored["is_passed"]
    for gate, reason in (({}, "was not measured"), (stored, "is refused")):
        with pytest.raises(SettingsError, match=reason):
            train_gate.require_passed(version, gate)
    train_gate.require_passed(version, {"is_passed": True})


def test_refused_preferences_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    losses = {"base": {"loss": 0.69, "middle_loss": 0.69}, "adapted": {"loss": 0.7, "middle_loss": 0.7}}
    add_version(
        tmp_path / "adapters", held_out_loss=losses, objective="preferences", held_out_files=[__file__], start=None
    )
    assert train_gate.run("own", None, None, None) == 1
    assert "its loss of held-out preferences is 0.700" in capsys.readouterr().out


def test_copies_of_general_code_are_found(tmp_path: Path) -> None:
    copied = "".join(f"    value_{number} = load({number})\n" for number in range(8))
    (tmp_path / "general.py").write_text(copied)
    version = add_version(tmp_path / "adapters", replay_files=[str(tmp_path / "general.py")])

    def measure(*_: object) -> list[Pair]:
        copy = {"texts": Texts(before="", truth="", suggestion=copied)}
        return [(first, second.model_copy(update=copy)) for first, second in pairs_of(30, 2, 168)]

    verdict = train_gate.judge("own", version, 40, measure)
    assert [guard.name for guard in verdict.guards if not guard.is_passed] == ["copied text"]


LINE = "self.total = self.total + self.price"


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Version:
    """A version that fills the lines of its ten held-out files, and a base that does not: the gate passes it.

    The files are short and have fewer holes than a stage, so that the tests are, too.
    """
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    (tmp_path / "settings.toml").touch()
    monkeypatch.setenv("STARCODER_LS_SETTINGS", str(tmp_path / "settings.toml"))
    (tmp_path / "code").mkdir()
    files = [tmp_path / "code" / f"shop_{number}.py" for number in range(10)]
    for number, file in enumerate(files):
        file.write_text(f"def add_{number}(self):\n    {LINE}\n    {LINE}\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "other.py").write_text("def other(number):\n    number = number + 1\n    return number\n")
    version = add_version(tmp_path / "adapters", held_out_files=list(map(str, files)))
    name = name_from_path(str(version.folder))
    engine = {"scripts": [["nothing", "\n"]], "adapters": [name], "adapter_scripts": {name: [LINE, "\n"]}}
    program = (*FAKE_SERVER_COMMAND, json.dumps(engine))
    monkeypatch.setattr(train_gate, "GateHoles", functools.partial(GateHoles, program=program))
    return version


def run_until(count: int, monkeypatch: pytest.MonkeyPatch, folder: Path, is_restarted: bool = False) -> int:
    """Run the gate until the server ends, after ``count`` requests or as soon as it has a verdict. Returns how many
    there were."""
    request, requests = completion_client.request_suggestion, list[Hole]()

    async def end_after(server: Any, hole: Hole, language: str) -> tuple[str, float]:
        if len(requests) == count:
            raise EngineError("The server has ended during the run.")
        requests.append(hole)
        return await request(server, hole, language)

    with monkeypatch.context() as patch:
        patch.setattr(completion_client, "request_suggestion", end_after)
        try:
            train_gate.run("own", None, folder / "other", None, is_restarted)
        except EngineError:
            assert len(requests) == count
    return len(requests)


def test_interrupted_gate_is_continued_to_a_verdict(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = version.folder / "gate.json.partial"
    assert run_until(9, monkeypatch, tmp_path) == 9
    assert "(holes answered: 4)" in " ".join(capsys.readouterr().err.split())
    assert AdapterVersions("own").find().gate == {}
    requests = run_until(-1, monkeypatch, tmp_path)
    printed = capsys.readouterr()
    assert "The gate was interrupted and continues; holes answered so far: 4" in printed.err
    assert "own is better" in printed.out
    gate = AdapterVersions("own").find().gate
    foreign = int(gate["guards"][-1]["sentence"].split(" points in ")[1].split()[0])
    assert 4 + requests / 2 == gate["stages"][0]["holes"] + foreign
    assert not kept.exists()


def test_gate_begins_again_on_request_and_after_a_change(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_until(9, monkeypatch, tmp_path)
    capsys.readouterr()
    run_until(5, monkeypatch, tmp_path, is_restarted=True)
    message = " ".join(capsys.readouterr().err.split())
    assert "interrupted" not in message
    assert "The answers are kept (holes answered: 2)" in message
    changed = Path(version.training["held_out_files"][3])
    changed.write_text(changed.read_text() + "\n")
    run_until(3, monkeypatch, tmp_path)
    message = " ".join(capsys.readouterr().err.split())
    assert "because of changes in: held-out code" in message
    assert "The answers are kept (holes answered: 1)" in message
