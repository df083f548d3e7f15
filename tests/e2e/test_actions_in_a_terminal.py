"""The installed commands `explain`, `ask` and `act`, with the bundled model declared as instruction-tuned.

The text that it answers is meaningless; output, interruption and error messages are checked.
"""

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
def test_explain_of_standard_input_prints_one_json_object(environment: dict[str, str]) -> None:
    done = run("explain", "-:2", "--language", "python", "--json", env=environment, text=CODE)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["text"].strip()
    assert answer["lines"] == [1, 2]
    assert answer["timings"]["prompt_tokens"] > 10


@pytest.mark.slow
def test_sigint_during_generation_exits_with_130(environment: dict[str, str], tmp_path: Path) -> None:
    """The answer is generated in float32 and is long, so that it has not ended when the signal arrives."""
    settings = '[model]\ntasks = ["instruct"]\ndtype = "float32"\n[actions.ask]\nmax_new_tokens = 1500\n'
    (tmp_path / "settings.toml").write_text(settings)
    restore_sigint = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # background jobs ignore SIGINT
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*CLI, "ask", "Why?"], **pipes, env=environment, preexec_fn=restore_sigint) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(600) == 130
        assert b"Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("explain", "nowhere.py:1"), "There is no file nowhere.py."),
        (("act", "fly", "-:1-2"), "There are: ask"),
        (("explain", "-:1-2", "--adapter", "one"), "[adapters.one]"),
        (("act", "fix", "-:7-9"), "lines 1 to 2"),
    ],
)
def test_impossible_request_is_one_line_on_standard_error(
    arguments: tuple[str, ...], message: str, environment: dict[str, str]
) -> None:
    done = run(*arguments, env=environment, text=CODE)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_without_instruct_adapter_error_names_the_missing_setting(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[model]\nname = "some/base"\n')
    done = run("explain", "-:1-2", env={**os.environ, "STARCODER_LS_SETTINGS": str(settings)}, text=CODE)
    assert (done.returncode, done.stdout) == (1, "")
    assert "[adapters.NAME]" in done.stderr
