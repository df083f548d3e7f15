from __future__ import annotations

import re
import tomllib
from itertools import combinations
from pathlib import Path

import lock
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PYPROJECT = tomllib.loads((lock.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETS = lock.sets_of(PYPROJECT)
SETS[lock.TORCH] = [text for text in SETS[lock.MAIN] if Requirement(text).name == "torch"]
for name in (lock.MAIN, lock.RUN):
    SETS[name] = [text for text in SETS[name] if text not in SETS[lock.TORCH]]
FILES = [*SETS, lock.CUDA]
ENVIRONMENT_OF_ITS_OWN = "audit"

_HASHES = r"(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n"
_ENTRY = re.compile(r"([a-z0-9-]+)==([^\s;]+)(?: ; [^\n\\]+)?" + _HASHES)


def pins_of(name: str) -> dict[str, Version]:
    """Package -> exact version, of all entries of a requirements file."""
    text = (lock.FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    return {match[1]: Version(match[2]) for match in map(_ENTRY.fullmatch, lock.split_entries(text)) if match}


@pytest.mark.parametrize("name", FILES)
def test_requirements_file_has_only_exact_versions_with_hashes(name: str) -> None:
    text = (lock.FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    entries = lock.split_entries(text)

    assert text == lock.HEADER + "".join(entries), "an option, an index or another line that is not an entry"
    assert [entry for entry in entries if not _ENTRY.fullmatch(entry)] == []
    targets = [entry.split(" \\\n")[0].partition("==")[::2] for entry in entries]
    conditions = {(package, pin.partition(" ; ")[2]) for package, pin in targets}
    assert len(conditions) == len(entries), "a package with two versions for the same machine"


@pytest.mark.parametrize("name", SETS)
def test_each_requirement_of_pyproject_is_locked_in_an_allowed_version(name: str) -> None:
    pins = pins_of(name)
    wrong = [
        text
        for text in SETS[name]
        if (requirement := Requirement(text))
        and not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), Version("0.dev0")))
    ]
    assert not wrong, f"run `make lock`: {wrong}"


def test_sets_of_one_environment_have_the_same_versions() -> None:
    shared = [name for name in FILES if name != ENVIRONMENT_OF_ITS_OWN]
    different = [
        package
        for first, second in combinations(map(pins_of, shared), 2)
        for package in first.keys() & second.keys()
        if first[package] != second[package]
    ]
    assert not different


def test_each_extra_belongs_to_exactly_one_set() -> None:
    assert {"dev", "editors", "audit"} <= SETS.keys()
    assert "quantization" not in SETS
    assert {"torchao>=0.17", "pytest>=8", "setuptools>=77"} <= set(SETS["dev"])
    assert len(SETS["torch"]) == 1
    assert not [text for text in SETS["dev"] if text.startswith("starcoder-ls")]


def test_set_that_runs_the_server_has_no_tools_of_developers() -> None:
    assert not {"mypy", "pytest", "ruff", "torchao", "bitsandbytes"} & pins_of(lock.RUN).keys()
    assert pins_of(lock.RUN).items() <= pins_of(lock.MAIN).items()


def test_cpu_builds_are_locked_for_each_python_on_linux() -> None:
    checksums = lock.TORCH_BUILDS.read_text(encoding="utf-8")
    version = pins_of("torch")["torch"]
    for python in ("cp311", "cp312", "cp313"):
        for machine in ("x86_64", "aarch64"):
            assert f"torch-{version}+cpu-{python}-{python}-manylinux_2_28_{machine}.whl" in checksums


def test_builds_of_the_locked_torch_are_in_its_entry() -> None:
    entry = (lock.FOLDER / "torch.txt").read_text(encoding="utf-8").removeprefix(lock.HEADER)
    checksums = lock.TORCH_BUILDS.read_text(encoding="utf-8")

    assert lock.add_torch_builds(entry, checksums) == entry, "run `make lock`"
    assert [line for line in checksums.splitlines() if f"torch-{pins_of('torch')['torch']}+" in line]


def test_torch_builds_of_other_versions_are_not_added() -> None:
    checksums = (
        f"{'1' * 64}  torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl\n"
        f"{'2' * 64}  torch-2.14.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl\n"
    )

    changed = lock.add_torch_builds("torch==2.13.0 \\\n    --hash=sha256:aa\n", checksums)

    assert changed == f"torch==2.13.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:{'1' * 64}\n"


def test_torch_builds_are_added_to_no_other_package() -> None:
    with pytest.raises(ValueError, match="torchao"):
        lock.add_torch_builds("torchao==2.13.0 \\\n    --hash=sha256:aa\n", "")


def test_torch_and_its_cuda_packages_have_files_of_their_own() -> None:
    names = ("cuda-toolkit", "nvidia-nccl-cu13", "torch", "torchao", "triton")
    entries = [f"{name}==1 \\\n    --hash=sha256:aa\n" for name in names]

    files = lock.split_torch(entries)

    assert files == {"dev": [entries[3]], "torch": [entries[2]], "cuda": [entries[0], entries[1], entries[4]]}
    assert not [name for name in pins_of("dev") if name.startswith(("nvidia-", "cuda-"))]


def test_versions_are_kept_without_hashes_as_input_of_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "FOLDER", tmp_path)
    hashes = " \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    (tmp_path / "dev.txt").write_text(
        f"{lock.HEADER}rich==1{hashes}numba==2 ; os_name == 'nt'{hashes}", encoding="utf-8"
    )

    assert lock.read_versions("dev") == "rich==1\nnumba==2 ; os_name == 'nt'\n"
    assert lock.read_versions("missing") == ""
