"""Servers are real processes with a scripted engine."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import FAKE_SERVER_COMMAND
from repositories import repository
from starcoder_ls import settings
from starcoder_ls.commands.support.adapter_option import name_from_path
from starcoder_ls.commands.support.gate_holes import GateHoles
from starcoder_ls.errors import ModelError, SettingsError
from starcoder_ls.evaluation import completion_client, gate_guards
from starcoder_ls.evaluation.comparison import Pair
from starcoder_ls.evaluation.gate import Code
from starcoder_ls.evaluation.holes import SYNTAX_KINDS, Hole, Kind
from starcoder_ls.evaluation.partial_run import PartialRun
from starcoder_ls.evaluation.repository import Repository
from starcoder_ls.evaluation.results import ScoredHole
from starcoder_ls.learning.finetuning.versions import Version
from starcoder_ls.lsp.client import Client
from training_records import add_version

RIGHT_LINE = "self.total = self.total + self.price"
TRAINING_LINE = "connect(host, port, " + ", ".join(f"option_{number}" for number in range(12)) + ")"


def holes_of(version: Version, folder: Path, **engine: Any) -> GateHoles:
    """``engine`` are options of the scripted engine."""
    folder.mkdir(exist_ok=True)
    user_settings = settings.Settings.model_validate(
        {"model": {"threads": 3}, "adapters": {"other": {"path": "/other", "tasks": ["completion"]}}}
    )
    options = {"adapters": [name_from_path(str(version.folder))], **engine}
    return GateHoles(version, user_settings, folder, program=(*FAKE_SERVER_COMMAND, json.dumps(options)))


def test_sides_fill_the_same_holes_in_the_held_out_files_only(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    code = repository(tmp_path / "code")
    version = add_version(tmp_path / "state", held_out_files=[str(code / "shop/shop.py"), str(code / "gone.py")])
    scripts = {name_from_path(str(version.folder)): ["self", ".price", "\n"]}
    holes = holes_of(version, tmp_path / "run", scripts=[["self", ".name", "\n"]], adapter_scripts=scripts)
    pairs = holes(Code.HELD_OUT, 4, seed=1)
    assert all(first.id == second.id for first, second in pairs)
    assert {first.path for first, _ in pairs} == {"shop/shop.py"}
    answers = [{hole.texts and hole.texts.suggestion for hole in side} for side in zip(*pairs, strict=True)]
    assert "self.name" in answers[0]
    assert "self.price" in answers[1]
    assert answers[0].isdisjoint(answers[1]), "one server answers for both, each time for the side that is asked"
    (foreign,) = holes.paths(Code.FOREIGN)
    assert (foreign / "console.py").is_file()


def kept_in(folder: Path) -> PartialRun[Pair]:
    return PartialRun(folder / "gate.json", {}, Pair)


@pytest.fixture
def shop(tmp_path: Path) -> Version:
    """A version with one held-out file."""
    (tmp_path / "code").mkdir()
    code = repository(tmp_path / "code")
    return add_version(tmp_path / "state", held_out_files=[str(code / "shop/shop.py")])


def test_interrupted_measurement_goes_on_with_the_other_holes(
    shop: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, requested = completion_client.request_suggestion, list[str]()

    async def count(server: Any, hole: Hole, language: str) -> tuple[str, float]:
        if len(requested) == 5:  # the second side of the third hole
            raise KeyboardInterrupt
        requested.append(hole.middle)
        return await request(server, hole, language)

    scripts = {name_from_path(str(shop.folder)): ["self", ".price", "\n"]}
    holes = holes_of(shop, tmp_path / "run", scripts=[["self", ".name", "\n"]], adapter_scripts=scripts)
    with monkeypatch.context() as patch:
        patch.setattr(completion_client, "request_suggestion", count)
        with pytest.raises(KeyboardInterrupt):
            replace(holes, kept=kept_in(tmp_path))(Code.HELD_OUT, 8, seed=1)
    interrupted = kept_in(tmp_path)
    assert len(interrupted.answers) == 2
    requested.clear()
    with monkeypatch.context() as patch:
        patch.setattr(completion_client, "request_suggestion", count)
        with pytest.raises(KeyboardInterrupt):
            replace(holes, kept=interrupted)(Code.HELD_OUT, 8, seed=1)
    assert len(kept_in(tmp_path).answers) == 4
    continued = replace(holes, kept=kept_in(tmp_path))(Code.HELD_OUT, 8, seed=1)
    whole = holes(Code.HELD_OUT, 8, seed=1)
    assert len(whole) > 5
    assert [without_time(pair) for pair in continued] == [without_time(pair) for pair in whole]
    no_server = replace(holes, program=("/no/program",), kept=kept_in(tmp_path))
    assert no_server(Code.HELD_OUT, 8, seed=1) == continued
    with pytest.raises(FileNotFoundError):
        no_server(Code.HELD_OUT, 8, seed=2)


def without_time(pair: Pair) -> list[ScoredHole]:
    return [hole.model_copy(update={"elapsed_ms": 0.0}) for hole in pair]


def test_pair_is_not_kept_if_the_adapter_was_unloaded(
    shop: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holes, request, statuses = holes_of(shop, tmp_path / "run"), Client.request, list[Any]()

    async def without_adapters(response: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        statuses.append(await response)
        return statuses[-1] | {"adapters": []}

    def lose_adapter(client: Client, method: str, *arguments: Any, **named: Any) -> Any:
        """After the first hole, the server reports no adapter."""
        response = request(client, method, *arguments, **named)
        is_lost = method == "starcoder/status" and kept_in(tmp_path).answers
        return without_adapters(response) if is_lost else response

    monkeypatch.setattr(Client, "request", lose_adapter)
    with pytest.raises(ModelError, match="was unloaded during the run"):
        replace(holes, kept=kept_in(tmp_path))(Code.HELD_OUT, 8, seed=1)
    assert (len(statuses), len(kept_in(tmp_path).answers)) == (1, 1)


def test_kept_answers_have_no_secrets(shop: Version, tmp_path: Path) -> None:
    token = "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    file = Path(shop.training["held_out_files"][0])
    file.write_text(file.read_text().replace("label.upper()", f'label.upper("{token}")'))
    holes = replace(holes_of(shop, tmp_path / "run"), kept=kept_in(tmp_path))
    assert any(token in hole.text for hole in Repository([file]).draw_holes(SYNTAX_KINDS, 4, 0))
    assert holes(Code.HELD_OUT, 16, seed=0)
    text = (tmp_path / "gate.json.partial").read_text()
    assert "label.upper" in text
    assert token not in text


def test_candidate_that_is_not_loaded_is_never_measured_as_the_base(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    code = repository(tmp_path / "code")
    version = add_version(tmp_path / "state", held_out_files=[str(code / "shop/shop.py")])
    holes = holes_of(version, tmp_path / "run", adapters=[])
    with pytest.raises(ModelError, match="is not loaded"):
        holes(Code.HELD_OUT, 4, seed=1)


def test_only_the_candidate_differs_between_the_sides(tmp_path: Path) -> None:
    version = add_version(tmp_path / "state")
    base, candidate = holes_of(version, tmp_path / "run").sides()
    assert base.launch == candidate.launch
    name = name_from_path(str(version.folder))
    sent = [side.settings["adapters"] for side in (base, candidate)]
    assert sent == [{name: {"path": str(version.folder), "tasks": tasks}} for tasks in ([], ["completion"])]
    loaded = base.launch.load_settings()
    assert (loaded.model.name, loaded.model.threads, [*loaded.adapters]) == ("bundled", 3, [name])


def test_version_is_measured_beside_the_adapter_that_it_started_from(tmp_path: Path) -> None:
    start = str(tmp_path / "sft")
    version = add_version(tmp_path / "state", start=start)
    base, candidate = holes_of(version, tmp_path / "run").sides()
    assert base.launch == candidate.launch
    name = name_from_path(str(version.folder))
    tasks = [{key: table["tasks"] for key, table in side.settings["adapters"].items()} for side in (base, candidate)]
    assert tasks == [{"sft": ["completion"], name: []}, {"sft": [], name: ["completion"]}]
    assert sorted(base.launch.load_settings().adapters) == sorted(["sft", name])


def test_checkpoint_has_a_server_of_its_own(tmp_path: Path) -> None:
    version = add_version(tmp_path / "full", is_checkpoint=True)
    base, candidate = holes_of(version, tmp_path / "run").sides()
    assert base.launch.arguments[:2] == ["--model", "bundled"]
    assert candidate.launch.arguments[:2] == ["--model", str(version.folder)]
    assert "--adapter" not in (*base.launch.arguments, *candidate.launch.arguments)


def test_version_without_held_out_files_cannot_be_measured(tmp_path: Path) -> None:
    holes = holes_of(add_version(tmp_path / "state", held_out_files=["/gone.py"]), tmp_path / "run")
    with pytest.raises(SettingsError, match="Train again"):
        holes(Code.HELD_OUT, 4, seed=0)


def test_other_code_has_no_file_that_was_trained_on(tmp_path: Path) -> None:
    for folder in ("general", "other"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        text = f"def area_{number}(width, height):\n    return width * height\n"
        (tmp_path / "other" / f"{number}.py").write_text(text)
        (tmp_path / "general" / f"copy_{number}.py").write_text(text)
    learned = [str(tmp_path / "general" / f"copy_{number}.py") for number in range(3)]
    states = ({}, {"replay_files": learned[:1]}, {"replay_files": learned[:1], "training_files": learned[1:]})
    none, replayed, everything = (
        GateHoles(add_version(tmp_path / f"state{number}", **state), settings.Settings(), tmp_path, tmp_path / "other")
        for number, state in enumerate(states)
    )
    assert none.paths(Code.FOREIGN) == [tmp_path / "other"]
    assert [path.name for path in replayed.paths(Code.FOREIGN)] == ["1.py", "2.py"]
    with pytest.raises(SettingsError, match="--foreign"):
        everything.paths(Code.FOREIGN)


def test_each_guard_finds_its_defect_in_answers_of_a_server(tmp_path: Path) -> None:
    """The candidate is slower, wrong where the base is right, and copies a training file. Secrets: the server itself
    shows no answer with one, see ``test_gate_guards``."""
    (tmp_path / "code" / ".git").mkdir(parents=True)
    lines = [line for number in range(12) for line in (f"value_{number} = load({number})", RIGHT_LINE)]
    file = tmp_path / "code" / "shop.py"
    file.write_text("def add(self):\n" + "".join(f"    {line}\n" for line in lines))
    version = add_version(tmp_path / "state", held_out_files=[str(file)])
    copied = [f"{word} " for word in TRAINING_LINE.split()]
    holes = holes_of(
        version,
        tmp_path / "run",
        token_s=0.001,
        settings={"inline_completion": {"rules_off": ["said_again", "echo", "lines_above", "lines_below"]}},
        scripts=[[RIGHT_LINE, "\n"]],
        adapter_scripts={name_from_path(str(version.folder)): [*copied, "\n"]},
    )
    pairs = holes(Code.HELD_OUT, 64, seed=0)
    training = [f"import net\n\n{TRAINING_LINE}\n"]
    checks = {
        "kinds": gate_guards.check_kinds,
        "time": gate_guards.check_latency,
        "copies": lambda found: gate_guards.check_copies(found, training),
        "foreign": gate_guards.check_foreign,
    }
    equal = [(first, first) for first, _ in pairs]
    for name, check in checks.items():
        assert not check(pairs).is_passed, name
        assert check(equal).is_passed, name
    assert f"{Kind.LINE} (0 became right" in gate_guards.check_kinds(pairs).sentence
