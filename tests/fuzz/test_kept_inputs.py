"""Runs every fuzzing harness on its seeds and on the inputs that fuzzing has found, without the fuzzer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fuzz import git_wildmatch, registry
from fuzz.harnesses import secret_masking
from fuzz.input_bytes import InputReader, join_fields, split_fields
from fuzz.run import CACHE, ROOT

pytestmark = pytest.mark.filterwarnings("ignore")  # as in the fuzzer: a warning is no failure


@pytest.mark.parametrize("name", registry.HARNESSES)
def test_harness_holds_for_its_seeds_and_kept_inputs(name: str) -> None:
    harness = registry.load(name)
    assert harness.dictionary.is_file()
    for number, seed in enumerate(harness.seeds):
        assert len(seed) <= harness.max_bytes, f"seed {number} is cut by the fuzzer"
        harness.check(seed)
    for data in registry.kept_inputs(name).values():
        harness.check(data)


def test_a_seed_of_secret_masking_is_checked_as_a_long_text() -> None:
    assert any(map(secret_masking.is_checked_as_long_text, secret_masking.SEEDS))


def test_kept_inputs_belong_to_harnesses() -> None:
    assert {folder.name for folder in registry.INPUTS.iterdir()} <= registry.HARNESSES.keys()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def git_decides(repository: Path, content: bytes, path: bytes) -> bool | None:
    (repository / ".gitignore").write_bytes(content)
    command = ["git", "-C", str(repository), "check-ignore", "-v", "-n", "--no-index", "-z", "--stdin"]
    output = subprocess.run(command, input=path, capture_output=True, check=False).stdout
    source, _, pattern, *_ = output.split(b"\0")
    return None if not source else not pattern.startswith(b"!")


def test_reference_for_ignore_patterns_answers_as_git(repository: Path) -> None:
    """Without folders, whose patterns git also tests."""
    harness = registry.load("ignore_patterns")
    compared = 0
    for data in (*harness.seeds, *registry.kept_inputs("ignore_patterns").values()):
        content, path = split_fields(data, 2)
        if path and b"/" not in path:
            compared += 1
            assert git_wildmatch.decide(content, path, False) == git_decides(repository, content, path), data
    assert compared >= 2


def test_fields_and_numbers_of_an_input_can_be_read_past_its_end() -> None:
    assert split_fields(join_fields("a", b"b"), 3) == [b"a", b"b", b""]
    reader = InputReader(b"\5")
    assert (reader.integer(4), reader.integer(4), reader.is_at_end) == (1, 0, True)


def test_fuzzing_writes_into_an_ignored_folder() -> None:
    ignored = subprocess.run(["git", "check-ignore", "-q", str(CACHE)], cwd=ROOT, check=False)
    assert ignored.returncode == 0
