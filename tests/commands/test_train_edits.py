from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from commit_history import numbered_edits
from starcoder_ls import settings
from starcoder_ls.commands import train_edits, train_gate, train_promote
from starcoder_ls.commands.support import edit_answers, gate_edits
from starcoder_ls.commands.support.edit_answers import EditSide
from starcoder_ls.commands.train_adapter import Request
from starcoder_ls.engine.adapters.files import check_adapter_folder
from starcoder_ls.errors import EngineError
from starcoder_ls.evaluation.edit_gate import EditPair
from starcoder_ls.evaluation.edit_scores import EditTask, ScoredEdit
from starcoder_ls.evaluation.partial_run import PartialRun
from starcoder_ls.learning.finetuning.versions import AdapterVersions, Version


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small StarCoder model whose context holds whole files: a token has about one character."""
    import checkpoints  # loads torch, which most tests do without

    return checkpoints.gpt_bigcode(tmp_path_factory.mktemp("models") / "editing", n_positions=1024)


@pytest.fixture(scope="module")
def version(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Version]:
    """An adapter that was trained on the edits of a repository."""
    folder = tmp_path_factory.mktemp("edits")
    repository = numbered_edits(folder / "code", 30).folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STARCODER_LS_STATE", str(folder / "state"))
        assert run(base, repository) == 0
        yield AdapterVersions("own").find()


def run(base: Path, repository: Path, name: str = "own", is_dry_run: bool = False) -> int:
    options = {"paths": [repository], "device": "cpu", "rank": 4, "epochs": 1.0}
    overlay = {"model": {"name": str(base), "device": "cpu"}}
    return train_edits.run(Request(name, options, is_dry_run=is_dry_run), overlay, None)


def test_dry_run_says_what_it_takes_and_writes_nothing(
    base: Path, version: Version, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(base, Path(version.training["paths"][0]), "other", is_dry_run=True) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for text in ("training: 18 edits", "held out: 9 edits", "minutes", "licences in headers: none stated"):
        assert text in printed
    assert not AdapterVersions("other").folder.exists()


def test_version_has_losses_a_card_and_no_subject_of_a_commit(version: Version) -> None:
    assert check_adapter_folder(version.folder).base_fingerprint == version.training["fingerprint"]
    losses = version.training["held_out_loss"]
    assert losses["adapted"]["middle_loss"] < losses["base"]["middle_loss"]
    assert "edits in the git history of code" in (version.folder / "README.md").read_text(encoding="utf-8")
    assert "compute with cost" not in "".join(path.read_text("latin-1") for path in version.folder.iterdir())


def test_held_out_edits_are_read_again_and_made_by_both_sides(version: Version) -> None:
    tasks = gate_edits.held_out_tasks(version, ())
    assert len(tasks) == len(version.training["held_out_edits"]) == 9
    for task in tasks:
        assert task.before.replace("price", f"cost{task.subject.split()[1][:-1]}") == task.after
    with gate_edits.open_sides(version, None) as sides:
        pairs = gate_edits.GateEdits(tasks, sides, settings.load())(0, 2)
    assert [side.id for pair in pairs for side in pair] == [task.id for task in tasks[:2] for _ in range(2)]
    assert (sides[0].route.adapter, sides[1].route.adapter) == (None, "candidate")


def test_interrupted_gate_does_not_make_the_same_edits_again(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = edit_answers.make_edit, list[str]()

    async def end_after_five(task: EditTask, side: EditSide, config: settings.Settings) -> ScoredEdit:
        if len(made) == 5:
            raise EngineError("The engine has ended.")
        made.append(task.id)
        return await make(task, side, config)

    def measure(last: int) -> list[EditPair]:
        kept = PartialRun[EditPair](tmp_path / "gate.json", {}, EditPair)
        return gate_edits.GateEdits(tasks, sides, settings.load(), kept)(0, last)

    tasks = gate_edits.held_out_tasks(version, ())
    token = "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    tasks[0] = replace(tasks[0], after=f'{tasks[0].after}    token = "{token}"\n')
    monkeypatch.setattr(edit_answers, "make_edit", end_after_five)
    with gate_edits.open_sides(version, None) as sides:
        with pytest.raises(EngineError):
            measure(4)
        assert made == [task.id for task in tasks[:3] for _ in range(2)][:5]
        made.clear()
        pairs = measure(4)
        assert measure(4) == pairs
    assert made == [task.id for task in tasks[2:4] for _ in range(2)]
    assert [pair[0].id for pair in pairs] == [task.id for task in tasks[:4]]
    assert token not in (tmp_path / "gate.json.partial").read_text()


def test_gate_decides_and_a_promoted_adapter_serves_edits(
    base: Path, version: Version, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f'[model]\nname = "{base.as_posix()}"\ndevice = "cpu"\n')
    assert train_gate.run("own", None, None, file) == 1
    assert "no significant gain" in capsys.readouterr().out
    assert train_promote.run("own", version.name, True, file) == 0
    adapter = tomllib.loads(file.read_text())["adapters"]["own"]
    assert adapter["template"] == "edits"
    assert adapter["tasks"] == ["fix", "rewrite", "simplify"]
