"""The command line as it is installed, with the bundled model taken for an instruction-tuned one: what it answers is
nonsense, how it is shown, ended and refused is not."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CLI = (sys.executable, "-m", "starcoder_ls")
CODE = "def add(a, b):\n    return a - b\n"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    settings = tmp_path / "settings.toml"
    settings.write_text('[model]\ntasks = ["completion", "instruct"]\n[actions.explain]\nmax_new_tokens = 24\n')
    return {**os.environ, "STARCODER_LS_SETTINGS": str(settings)}


def run(*arguments: str, env: dict[str, str], text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *arguments], input=text, capture_output=True, text=True, env=env, check=False)


@pytest.mark.slow
def test_an_explanation_of_standard_input_is_one_json_object(environment: dict[str, str]) -> None:
    done = run("explain", "-:2", "--language", "python", "--json", env=environment, text=CODE)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["text"].strip()
    assert said["lines"] == [1, 2]
    assert said["timings"]["prompt_tokens"] > 10


@pytest.mark.slow
def test_ctrl_c_ends_an_answer_in_mid_sentence(environment: dict[str, str], tmp_path: Path) -> None:
    """In float32 and long, so that it is not over before the signal comes."""
    slow = '[model]\ntasks = ["instruct"]\ndtype = "float32"\n[actions.ask]\nmax_new_tokens = 1500\n'
    (tmp_path / "settings.toml").write_text(slow)
    heeded = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a suite in the background ignores it
    with subprocess.Popen(
        [*CLI, "ask", "Why?"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, preexec_fn=heeded
    ) as asking:
        assert asking.stdout is not None
        assert asking.stderr is not None
        assert asking.stdout.read(1)
        asking.send_signal(signal.SIGINT)
        assert asking.wait(20) == 130
        assert b"Traceback" not in asking.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("explain", "nowhere.py:1"), "cannot be read"),
        (("act", "fly", "-:1-2"), "There are: ask"),
        (("explain", "-:1-2", "--adapter", "one"), "[adapters.one]"),
        (("act", "fix", "-:7-9"), "lines 1 to 2"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_at_once(
    arguments: tuple[str, ...], said: str, environment: dict[str, str]
) -> None:
    done = run(*arguments, env=environment, text=CODE)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_without_anybody_to_do_it_the_setting_to_add_is_named(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[model]\nname = "some/base"\n')
    done = run("explain", "-:1-2", env={**os.environ, "STARCODER_LS_SETTINGS": str(settings)}, text=CODE)
    assert (done.returncode, done.stdout) == (1, "")
    assert "[adapters.NAME]" in done.stderr
