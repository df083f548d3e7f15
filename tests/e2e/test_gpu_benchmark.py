"""benchmarks/gpu runs to its end without a GPU: its results mean nothing then, but the script is known to work."""

from __future__ import annotations

import importlib
import json
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks" / "gpu"
REPLAYED_COLUMN = 6


@pytest.fixture(scope="module")
def modules() -> Iterator[Any]:
    """Imports a module of the benchmark by name."""
    before = list(sys.path)
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path[:] = before


@pytest.mark.filterwarnings("ignore")  # as in the script; transformers warns of its own parts
def test_gpu_benchmark_saves_a_result_of_every_part(
    modules: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `int4` and `fused`, which import torchao and inductor; docs/gpu.md has the command that runs all."""
    threads = torch.get_num_threads()
    suite, into = modules("suite"), tmp_path / "results" / "gpu.json"
    parts = set(suite.PARTS) - {"int4", "fused"}
    options = ["--device", "cpu", "--shapes", "tiny", "--quick", "--minutes", "60", "--limit-factor", "60"]
    try:
        suite.main([*options, "--parts", *sorted(parts), "--into", str(into)])
    finally:
        torch.set_num_threads(threads)
    output = capsys.readouterr().out
    assert "no result" not in output, output
    results = json.loads(into.read_text(encoding="utf-8"))
    goals = results["tiny"].pop("goals")
    assert set(results["tiny"]) == {"model", *parts}
    assert all(row for part in results["tiny"].values() for row in part["rows"])
    assert any(row[REPLAYED_COLUMN] is True for row in results["tiny"]["decode"]["rows"]), "some passes were replayed"
    assert goals["growth after 12 requests, bytes"]["reached"]
    picture = ElementTree.parse(into.with_suffix(".svg"))
    assert sum(element.tag.endswith("rect") for element in picture.iter()) == len(goals) == 9


def test_part_that_exceeds_its_time_is_reported_and_saved_before_the_next(
    modules: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, into, saved = modules("suite"), tmp_path / "gpu.json", list[Any]()

    def never_ends() -> Any:
        while True:
            time.sleep(0.001)

    def read_saved() -> Any:
        saved.append(json.loads(into.read_text(encoding="utf-8")))
        return modules("measure").Table(["x"], [[1]])

    run = suite.Run(torch.device("cpu"), True, time.monotonic() + 600, 1.0, into, {"machine": "M"})
    run.measure("tiny", "slow", 0.01, never_ends)
    run.measure("tiny", "quick", 600.0, read_saved)
    run.measure("tiny", "last", 600.0, read_saved)
    run.end_s = time.monotonic()
    run.measure("tiny", "late", 600.0, read_saved)
    assert saved[0]["tiny"] == {"slow": {"failed": "PartTimeout: it took more than 0 s"}}
    assert saved[1]["tiny"]["quick"]["rows"] == [[1]], "saved before the next part begins"
    assert json.loads(into.read_text(encoding="utf-8")) == run.results
    assert "late" not in run.results["tiny"]
    assert "tiny, late: skipped, no time is left" in capsys.readouterr().out


def test_parts_are_ordered_by_value_across_shapes(modules: Any) -> None:
    plan = modules("plan")
    order = [(shape, part.name) for shape, part in plan.ordered(["7B", "1B"])]
    assert order[0] == ("7B", "graphs")
    assert order.index(("7B", "verify")) < order.index(("1B", "graphs")) < order.index(("7B", "adapters"))
    assert order.index(("7B", "fused")) < order.index(("1B", "adapters"))
    assert {name for _, name in order} == set(modules("suite").PARTS)
    assert len(order) == len(set(order))
    assert [name for _, name in order if name == "fused"] == ["fused"]
    names = [(shape, part.name) for shape, part in plan.ordered(["7B", "1B"], ["decode"])]
    assert names == [("7B", "decode"), ("1B", "decode")]


def test_wheels_of_missing_packages_are_unpacked(modules: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = modules("wheels")
    locked = wheels.locked_requirements()
    assert {entry.partition("==")[0] for entry in locked} == set(wheels.PACKAGES)
    assert all("--hash=sha256:" in entry for entry in locked)
    monkeypatch.setattr(wheels, "PACKAGES", {"no-such-package": "no_such_package", "pydantic": "pydantic"})
    for name in ("no_such_package", "pydantic"):
        with zipfile.ZipFile(tmp_path / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "")
    folder = wheels.unpack(tmp_path, tmp_path / "site")
    assert [path.name for path in folder.iterdir()] == ["no_such_package"], "pydantic is installed"


def test_goals_say_how_much_is_reached(modules: Any) -> None:
    goal = modules("goals").Goal
    assert goal(0.3, 0.6).share == pytest.approx(0.5)
    assert goal(150.0, 75.0, is_limit=True).share == pytest.approx(0.5)
    assert goal(0.0, 0.0, is_limit=True).to_json()["reached"]
    assert goal.from_json(goal(1.0, 2.0, is_limit=True).to_json()) == goal(1.0, 2.0, is_limit=True)
