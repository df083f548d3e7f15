"""Settings from a TOML file and from an editor: valid settings, or one short message that names the source."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from starcoder_ls import settings
from starcoder_ls.errors import SettingsError
from starcoder_ls.lsp.json_body import parse_body
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.settings import Settings

MAX_BYTES = 2048
MAX_MESSAGE_CHARS = 8000
"""Of a message to the user; the path of the settings file is part of it."""

SEEDS = (
    b'[model]\nname = "bundled"\nthreads = 2\nmax_memory = {"0" = "10GiB"}\n[log]\nlevel = "debug"\n',
    b'[adapters.a-b]\npath = "x/y"\ntasks = ["explain"]\n[actions.mine]\ntitle = "T"\ninstruction = "{code}"\n',
    b'[inline_completion]\ntemperature = 0.5\nmin_confidence_in = {markdown = 0.3}\nrules_off = ["echo"]\n',
    b"[sharing]\nidle_minutes = inf\nrelease_minutes = nan\n[feedback]\nkeep_days = 99999999999999999999\n",
    b'a = 1979-05-27T07:32:00Z\nb = """x"""\nc = [[1], {d = 0x1F}]\n"\xff" = 1\n',
    b'{"starcoder": {"inline_completion": {"enabled": false, "candidates": 9}, "other": 1, "trace": {}}}',
    b'{"context": {"ignore": ["*.log", "!a"], "prompt_tokens": "auto", "sources": ["buffers"]}, "\\ud800": null}',
    b'{"actions": {"fix": {"title": "a\\nb"}, "x y": {}}, "adapters": {"n": {"path": ""}}, "model": []}',
    b'{"model": {"name": "\\ud83d", "template": "{question}"}, "log": {"level": 0}, "feedback": {"keep_days": 1e400}}',
)

_FOLDER = tempfile.TemporaryDirectory(prefix="starcoder-fuzz-")
_FILE = Path(_FOLDER.name) / "settings.toml"


def check(data: bytes) -> None:
    if data.startswith(b"{"):
        check_client(data)
    else:
        check_file(data)


def check_file(data: bytes) -> None:
    _FILE.write_bytes(data)
    try:
        loaded = settings.load(file=_FILE)
    except SettingsError as error:
        check_message(message := str(error))
        assert str(_FILE) in message
        return
    check_settings(loaded)


def check_client(data: bytes) -> None:
    try:
        options = parse_body(data)
    except ValueError:
        return
    warnings: list[str] = []
    initial = Settings()
    client = ClientSettings(initial, warnings.append)
    client.apply(options, "the editor")
    client.apply(options, "the editor", has_other_sections=True)
    for warning in warnings:
        check_message(warning)
    check_settings(client.current)
    if any("ignored" in warning for warning in warnings):
        assert client.current == initial


def check_message(message: str) -> None:
    assert message
    assert len(message) <= MAX_MESSAGE_CHARS, f"a message of {len(message)} characters"
    message.encode()  # a lone surrogate cannot be shown


def check_settings(loaded: Settings) -> None:
    """They are the same again from their own values, and the numbers are numbers that libraries accept."""
    tree = loaded.model_dump()
    assert settings.validate(tree, "itself") == loaded
    for number in _numbers(tree):
        assert abs(number) < 1 << 31 if isinstance(number, int) else not math.isnan(number)
    assert loaded.resident_adapters().keys() >= loaded.adapters.keys()
    assert loaded.inline_completion.min_confidence_for("python") < 1


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _numbers(item)
    elif isinstance(value, int | float):
        yield value
