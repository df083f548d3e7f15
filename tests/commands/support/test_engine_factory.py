from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import checkpoints
from fake_daemon import running_daemon
from fakes import SCRIPTED_SETTINGS
from remote_engines import settings_for
from starcoder_ls.commands.support.adapter_routing import is_completion_adapter
from starcoder_ls.commands.support.engine_factory import (
    ConfiguredEngineFactory,
    DaemonOrLocalEngineFactory,
    LocalEngineFactory,
    loaded_engine,
)
from starcoder_ls.daemon.engine_client import EngineClient, daemon_socket_path
from starcoder_ls.engine.local_engine import LocalEngine
from starcoder_ls.errors import ModelError
from starcoder_ls.generation import Phase
from starcoder_ls.remote.fallback_engine import FallbackEngine
from starcoder_ls.remote.remote_engine import RemoteEngine
from starcoder_ls.settings import Adapter, Settings, Sharing, validate


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A daemon that is ready and has the model of SCRIPTED_SETTINGS."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("STARCODER_LS_RUNTIME", str(tmp_path_factory.mktemp("daemon") / "run"))
        with running_daemon(daemon_socket_path(SCRIPTED_SETTINGS), {}):
            yield


def test_adapter_that_does_not_complete_is_not_loaded_for_a_completion(tmp_path: Path) -> None:
    base = checkpoints.gpt_bigcode(tmp_path / "base")
    missing = {"path": str(tmp_path / "missing")}
    tree = {"model": {"name": str(base), "device": "cpu"}, "adapters": {"explains": missing}}
    factory = LocalEngineFactory(is_completion_adapter)
    with loaded_engine(validate(tree, "a test"), factory, shows_progress=False) as engine:
        assert engine.status().adapters == ()
    with (
        pytest.raises(ModelError, match="explains was left out"),
        loaded_engine(validate(tree, "a test"), shows_progress=False),
    ):
        pass
    tree["adapters"]["explains"] = {**missing, "tasks": ["completion"]}
    with (
        pytest.raises(ModelError, match="explains was left out"),
        loaded_engine(validate(tree, "a test"), factory, shows_progress=False),
    ):
        pass


def test_replaced_file_is_reported_on_stderr_and_does_not_end_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path / "state"))
    base = checkpoints.gpt_bigcode(tmp_path / "base")
    settings = validate({"model": {"name": str(base), "device": "cpu"}}, "a test")

    def load() -> str:
        with loaded_engine(settings, shows_progress=False) as engine:
            return engine.status().message

    assert load() == ""
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"comment": "x"}))
    message = load()
    assert "config.json is not the one of its last load" in message
    assert "".join(message.split()) in "".join(capsys.readouterr().err.split())
    assert load() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="unix sockets")
@pytest.mark.usefixtures("daemon")
def test_daemon_with_the_model_ready_is_used_without_loading() -> None:
    with loaded_engine(SCRIPTED_SETTINGS, DaemonOrLocalEngineFactory()) as engine:
        assert isinstance(engine, EngineClient)
        assert engine.status().phase is Phase.READY


@pytest.mark.skipif(sys.platform == "win32", reason="unix sockets")
@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(
    "settings",
    [
        Settings(adapters={"a": Adapter(path="p")}, model=SCRIPTED_SETTINGS.model),
        Settings(sharing=Sharing(enabled=False), model=SCRIPTED_SETTINGS.model),
        validate({"model": {"name": "another"}}, "a test"),
    ],
    ids=["adapter is missing", "sharing is disabled", "another model"],
)
def test_engine_is_local_if_the_daemon_does_not_match_the_settings(settings: Settings) -> None:
    assert isinstance(DaemonOrLocalEngineFactory()(settings), LocalEngine)


def test_server_in_the_settings_is_used_with_or_without_a_fallback(tmp_path: Path) -> None:
    settings = settings_for("http://127.0.0.1:1", tmp_path)
    for factory in (ConfiguredEngineFactory(), DaemonOrLocalEngineFactory()):
        engine = factory(settings)
        assert isinstance(engine, RemoteEngine)
        engine.close()
    engine = ConfiguredEngineFactory()(settings_for("http://127.0.0.1:1", tmp_path, fallback="local"))
    assert isinstance(engine, FallbackEngine)
    engine.close()
    assert isinstance(ConfiguredEngineFactory()(Settings()), LocalEngine)


def test_command_ends_at_once_if_the_server_cannot_be_reached(tmp_path: Path) -> None:
    with (
        pytest.raises(ModelError, match="cannot be reached"),
        loaded_engine(settings_for("http://127.0.0.1:1", tmp_path), DaemonOrLocalEngineFactory(), False),
    ):
        pass
