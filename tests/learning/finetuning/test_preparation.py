from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.errors import OutOfMemory, SettingsError
from starcoder_ls.learning.finetuning.preparation import Options, Plan, prepare
from starcoder_ls.learning.finetuning.slices import Slice
from starcoder_ls.settings import Model, Settings
from training_fixtures import code, write_repository


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    return write_repository(folder, {f"f{number}.py": code(f"topic{number}", 6) for number in range(14)})


def plan_of(base: Path, options: Options) -> Plan:
    return prepare(options, Settings(model=Model(name=str(base), device="cpu")), ignore_progress)


def test_plan_has_files_tokens_memory_and_time(starcoder: Path, repository: Path) -> None:
    plan = plan_of(starcoder, Options([repository], epochs=3, device="cpu"))
    assert sum(map(len, plan.slices.values())) == 14
    assert plan.batch_tokens == 960, "five rows of 192: a context of 256, with room for virtual tokens"
    assert plan.tokens == pytest.approx(3 * plan.rows[Slice.TRAINING].tokens, rel=0.1)
    assert plan.fit.memory_bytes > 400 << 20
    assert plan.estimate_s() > 0
    assert not plan.fit.is_checkpointed
    assert (plan.rank, plan.learning_rate) == (16, 4e-3)


def test_identity_of_the_data_changes_with_each_part_of_it(starcoder: Path, repository: Path) -> None:
    plan = plan_of(starcoder, Options([repository], device="cpu"))
    assert plan.data_id("a") == plan_of(starcoder, Options([repository], device="cpu")).data_id("a")
    files = plan.slices[Slice.TRAINING]
    changed = {**plan.slices, Slice.TRAINING: [replace(files[0], text="x"), *files[1:]]}
    others = {plan.data_id("b"), replace(plan, rank=8).data_id("a"), replace(plan, slices=changed).data_id("a")}
    others |= {plan_of(starcoder, Options([repository], device="cpu", epochs=3.0)).data_id("a")}
    others |= {plan_of(starcoder, Options([repository], device="cpu", method="parallel", rank=16)).data_id("a")}
    assert len({plan.data_id("a"), *others}) == 6


def test_identity_of_the_data_includes_replay_and_its_share(starcoder: Path, repository: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_repository(tmp_path / name, {"general.py": code(name, 6)})
    replays = [((), 0.25), ((tmp_path / "first",), 0.25), ((tmp_path / "second",), 0.25), ((tmp_path / "first",), 0.5)]
    plans = [
        plan_of(starcoder, Options([repository], device="cpu", replay=replay, replay_share=share))
        for replay, share in replays
    ]
    assert len({plan.data_id("a") for plan in plans}) == 4
    unused = plan_of(starcoder, Options([repository], device="cpu", replay_share=0.5))
    assert unused.data_id("a") == plans[0].data_id("a"), "a share of nothing"
    rows = [plan.rows[Slice.TRAINING].batch(0).ids for plan in plans]
    assert not any(rows[0].equal(other) for other in rows[1:])


def test_replay_has_no_file_that_is_measured_on(starcoder: Path, repository: Path, tmp_path: Path) -> None:
    slices = plan_of(starcoder, Options([repository], device="cpu")).slices
    held_out, validation = slices[Slice.HELD_OUT][0], slices[Slice.VALIDATION][0]
    general = write_repository(
        tmp_path / "general", {"copy.py": f"{validation.text}\n\nEND = 1\n", "other.py": code("other", 6)}
    )
    plan = plan_of(starcoder, Options([repository], device="cpu", replay=[general, repository]))
    training = {file.path for file in slices[Slice.TRAINING]}
    assert {file.path for file in plan.replay} == {general / "other.py", *training}
    measured = len(slices[Slice.HELD_OUT]) + len(slices[Slice.VALIDATION])
    assert plan.left_out["general code that nearly equals a held-out or validation file"] == measured
    with pytest.raises(SettingsError, match="Name other code"):
        plan_of(starcoder, Options([repository], device="cpu", replay=[held_out.path]))


def test_impossible_runs_are_refused_before_files_are_read(starcoder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such method"):
        plan_of(starcoder, Options([tmp_path], method="magic"))
    with pytest.raises(OutOfMemory, match="--batch-tokens"):
        plan_of(starcoder, Options([tmp_path], device="cpu", batch_tokens=1 << 32))
