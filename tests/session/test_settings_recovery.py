from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fakes import SCRIPTED_SETTINGS, FakeClock, ScriptedEngine
from harness import INLINE_COMPLETION, URI, async_test, connect_client, notifications_of, wait_until, wait_until_ready
from starcoder_ls import settings
from starcoder_ls.app import Server
from starcoder_ls.errors import SettingsError
from starcoder_ls.generation import Phase
from starcoder_ls.session import settings_recovery
from starcoder_ls.session.engine_supervisor import EngineSupervisor
from starcoder_ls.session.process_info import ProcessInfo
from starcoder_ls.session.settings_recovery import InvalidSettings, SettingsRecovery

INVALID = ["[model\n", "[model]\nnam = 'x'\n", "[model]\nname = 5\n", "sharing = 1\n"]
VALID = '[model]\nname = "scripted"\n[inline_completion]\nmax_new_tokens = 7\n'
STATUS: dict[str, Any] = {**INLINE_COMPLETION, "experimental": {"starcoderStatus": True}}


def invalid_settings(file: Path) -> InvalidSettings:
    with pytest.raises(SettingsError) as raised:
        settings.load(file=file)
    return InvalidSettings(str(raised.value), file, lambda: settings.load(file=file))


class Fixture:
    """A recovery whose waits each run the next of ``edits``, texts of the settings file; None removes it."""

    def __init__(self, file: Path, text: str, edits: list[str | None]) -> None:
        self.file, self.edits = file, edits
        self.write(text)
        self.engines: list[ScriptedEngine] = []
        self.supervisor = EngineSupervisor(self.make_engine, clock=FakeClock())
        self.messages: list[str] = []
        self.supervisor.subscribe(lambda status: self.messages.append(status.message))
        self.process_info = ProcessInfo()
        self.recovery = SettingsRecovery(self.supervisor, self.process_info, invalid_settings(file))

    def make_engine(self, _: object) -> ScriptedEngine:
        self.engines.append(ScriptedEngine())
        return self.engines[-1]

    def write(self, text: str | None) -> None:
        if text is None:
            self.file.unlink()
            return
        new = self.file.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(self.file)

    async def sleep(self, _: float) -> None:
        assert self.edits, "the recovery still waits after the last edit"
        self.write(self.edits.pop(0))


@pytest.mark.parametrize("text", INVALID)
@async_test
async def test_settings_are_used_once_the_file_is_corrected(text: str, tmp_path: Path) -> None:
    fixture = Fixture(tmp_path / "settings.toml", text, [VALID])
    assert fixture.supervisor.status().phase is Phase.FAILED
    assert fixture.supervisor.status().message == invalid_settings(fixture.file).message
    assert fixture.process_info.invalid_settings_file == str(fixture.file)
    assert fixture.supervisor.start(SCRIPTED_SETTINGS)
    assert fixture.engines == []

    found: list[settings.Settings] = []
    await fixture.recovery.wait(found.append, fixture.sleep)

    [recovered] = found
    assert recovered.inline_completion.max_new_tokens == 7
    assert fixture.process_info.invalid_settings_file == ""
    assert fixture.supervisor.start(recovered)
    assert len(fixture.engines) == 1


@async_test
async def test_status_follows_the_errors_of_each_edit(tmp_path: Path) -> None:
    edits: list[str | None] = [INVALID[1], INVALID[1], None, VALID]
    fixture = Fixture(tmp_path / "settings.toml", INVALID[0], edits)

    await fixture.recovery.wait(lambda _: None, fixture.sleep)

    syntax, unknown, _, missing = fixture.messages
    assert "is not valid TOML" in syntax
    assert "there is no setting `model.nam`" in unknown
    assert "There is no settings file" in missing


@async_test
async def test_every_waiting_session_gets_the_settings_at_once(tmp_path: Path) -> None:
    fixture = Fixture(tmp_path / "settings.toml", INVALID[0], [VALID])
    first, second, late = list[settings.Settings](), list[settings.Settings](), list[settings.Settings]()
    still_asleep = asyncio.create_task(fixture.recovery.wait(second.append, lambda _: asyncio.Future()))
    await asyncio.sleep(0)

    await fixture.recovery.wait(first.append, fixture.sleep)
    assert len(first) == len(second) == 1
    await fixture.recovery.wait(late.append, fixture.sleep)
    assert late == first
    still_asleep.cancel()


@async_test
async def test_file_that_does_not_change_is_not_read_again(tmp_path: Path) -> None:
    fixture = Fixture(tmp_path / "settings.toml", INVALID[0], [])
    ticks = iter(range(3))

    async def sleep(_: float) -> None:
        if next(ticks, None) is None:
            fixture.write(VALID)

    await fixture.recovery.wait(lambda _: None, sleep)

    assert len(fixture.messages) == 1


@pytest.mark.parametrize(("capabilities", "is_message_shown"), [(STATUS, False), (INLINE_COMPLETION, True)])
@async_test
async def test_connected_clients_recover_with_their_own_options(
    capabilities: dict[str, Any], is_message_shown: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_recovery, "CHECK_INTERVAL_S", 0.01)
    file = tmp_path / "settings.toml"
    file.write_text(INVALID[1], encoding="utf-8")
    engine = ScriptedEngine()
    server = Server(lambda _: engine, settings.Settings(), invalid_settings(file))
    async with connect_client(server) as first, connect_client(server) as second:
        for client in (first, second):
            await client.initialize({"inline_completion": {"candidates": 2}}, capabilities)
        status = await first.request("starcoder/status")
        assert status["phase"] == "failed"
        assert status["message"] == invalid_settings(file).message
        assert status["settingsFile"] == str(file)
        if is_message_shown:
            await wait_until(lambda: bool(notifications_of(first, "window/showMessage")))
        else:
            await wait_until(lambda: bool(notifications_of(first, "starcoder/status")))
            assert notifications_of(first, "window/showMessage") == []

        file.write_text(VALID, encoding="utf-8")

        for client in (first, second):
            await wait_until_ready(client)
            assert "settingsFile" not in await client.request("starcoder/status")
            client.open(URI, "x = ")
            assert await client.inline_completion(URI, 0, 4)
        assert {request.max_new_tokens for request in engine.requests} == {7}
    server.close()
