"""Several windows that share a daemon, all of them real processes; the engine is scripted."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fake_daemon import query_daemon
from harness import INLINE_COMPLETION, URI, async_test
from starcoder_ls.lsp.client import ResponseFailed, start
from starcoder_ls.user_folders import trained_adapters_folder
from windows import (
    ENDLESS_ENGINE,
    QUICK_ENGINE,
    SLOW_ENGINE,
    WINDOW_COMMAND,
    daemons,
    files_in,
    first_suggestion,
    is_clean,
    open_window,
    request_status,
    shown_messages,
    wait_for,
    wait_for_phase,
)


@async_test
async def test_ten_windows_that_start_at_once_share_one_daemon(runtime_folder: Path) -> None:
    async with AsyncExitStack() as stack:
        entering = [stack.enter_async_context(open_window(QUICK_ENGINE)) for _ in range(10)]
        windows = await asyncio.gather(*entering)
        assert len(daemons(runtime_folder)) == 1
        assert (await request_status(windows[0]))["sharing"]["windows"] == 10
        answers = await asyncio.gather(*(window.inline_completion(URI, 0, 4) for window in windows))
        assert all(first_suggestion(answer) for answer in answers)
        files = files_in(runtime_folder)
        assert [path.suffix for path in files] == [".sock"]
        assert [oct(os.stat(path).st_mode & 0o777) for path in (runtime_folder, *files)] == ["0o700", "0o600"]


@pytest.mark.usefixtures("runtime_folder")
@async_test
async def test_windows_have_separate_documents() -> None:
    async with open_window(QUICK_ENGINE, "first = ") as first, open_window(QUICK_ENGINE, "second = ") as second:
        assert (await first.request("starcoder/text", {"uri": URI}))["text"] == "first = "
        assert (await second.request("starcoder/text", {"uri": URI}))["text"] == "second = "
        await first.shutdown()
        assert first_suggestion(await second.inline_completion(URI, 0, 9))


@pytest.mark.usefixtures("runtime_folder")
@async_test
async def test_first_promotion_reaches_a_window_with_its_own_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "project.toml"
    file.write_text("")
    async with open_window(QUICK_ENGINE, arguments=("--settings", str(file))) as window:
        await window.inline_completion(URI, 0, 4)
        file.write_text(f'[adapters.own]\npath = "{trained_adapters_folder() / "own" / "current"}"\n')
        while "own" not in {adapter["name"] for adapter in (await request_status(window))["adapters"]}:
            await window.inline_completion(URI, 0, 4)


@pytest.mark.usefixtures("runtime_folder")
@async_test
async def test_window_receives_nothing_of_another_windows_text() -> None:
    """Each window has the same file with another text, and the engine's answer depends on the text of the prompt."""
    names = ("alpha", "beta", "gamma")
    engine = {"replies": {f"{name} =": [f"{name}_1", "\n"] for name in names}}
    async with AsyncExitStack() as stack:
        windows = [await stack.enter_async_context(open_window(engine, f"{name} = ")) for name in names]
        for version in range(2, 22):
            for window, name in zip(windows, names, strict=True):
                window.change(URI, version, {"text": f"# {version}\n{name} = "})
            pending = [
                window.inline_completion(URI, 1, len(name) + 3) for window, name in zip(windows, names, strict=True)
            ]
            assert [first_suggestion(await answer) for answer in pending] == [f"{name}_1" for name in names]
        for window, name in zip(windows, names, strict=True):
            received = json.dumps([window.notifications, window.unmatched_responses, await request_status(window)])
            assert not [other for other in names if other != name and other in received]


@async_test
async def test_killed_window_does_not_affect_the_others(runtime_folder: Path) -> None:
    async with open_window(ENDLESS_ENGINE) as victim, open_window(ENDLESS_ENGINE) as other:
        victim.inline_completion(URI, 0, 4)
        await wait_for_phase(other, "working")
        assert victim.process is not None
        victim.process.kill()
        await victim.wait_closed()
        while (await request_status(other))["sharing"]["windows"] != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert len(daemons(runtime_folder)) == 1


@async_test
async def test_requests_are_answered_once_although_the_daemon_is_killed(runtime_folder: Path) -> None:
    async with open_window(SLOW_ENGINE) as first, open_window(SLOW_ENGINE) as second:
        (victim,) = daemons(runtime_folder)
        start_of_line = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 1}}
        first.change(URI, 2, {"range": start_of_line, "text": "long"})
        pending = first.inline_completion(URI, 0, 7)
        command = first.request("workspace/executeCommand", {"command": "none"})
        with pytest.raises(ResponseFailed):
            await command
        await wait_for_phase(first, "working")
        victim.kill()
        assert first_suggestion(await pending)
        assert (await first.request("starcoder/text", {"uri": URI}))["text"] == "long = "
        assert (await second.request("starcoder/text", {"uri": URI}))["text"] == "x = "
        assert first.unmatched_responses == second.unmatched_responses == []
        (successor,) = daemons(runtime_folder)
        assert successor.pid != victim.pid


@pytest.mark.usefixtures("runtime_folder")
@async_test
async def test_stopped_window_does_not_block_the_others() -> None:
    """Twenty times, each with an answer that the stopped window does not read."""
    async with open_window(QUICK_ENGINE) as stopped, open_window(QUICK_ENGINE) as other:
        assert stopped.process is not None
        for version in range(2, 22):
            os.kill(stopped.process.pid, signal.SIGSTOP)
            pending = stopped.request("starcoder/status")
            text = f"x{version} = "
            other.change(URI, version, {"text": text})
            assert first_suggestion(await other.inline_completion(URI, 0, len(text)))
            os.kill(stopped.process.pid, signal.SIGCONT)
            assert (await pending)["sharing"]["windows"] == 2
        assert stopped.unmatched_responses == other.unmatched_responses == []


@async_test
async def test_idle_daemon_exits_and_leaves_no_file(runtime_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_IDLE_S", "0.5")
    async with open_window(QUICK_ENGINE) as client:
        assert first_suggestion(await client.inline_completion(URI, 0, 4))
        await client.shutdown()
    await wait_for(lambda: is_clean(runtime_folder))


@async_test
async def test_socket_of_a_killed_daemon_is_replaced(runtime_folder: Path) -> None:
    async with open_window(QUICK_ENGINE) as client:
        (path,) = files_in(runtime_folder)
        await client.shutdown()
    for process in daemons(runtime_folder):
        process.kill()
    await wait_for(lambda: not daemons(runtime_folder))
    assert files_in(runtime_folder) == [path]
    async with open_window(QUICK_ENGINE) as client:
        assert first_suggestion(await client.inline_completion(URI, 0, 4))


@async_test
async def test_request_after_a_stop_starts_a_daemon_with_the_latest_text(runtime_folder: Path) -> None:
    """That a change alone does not start one is tested in tests/daemon/test_forwarder.py."""
    async with open_window(QUICK_ENGINE) as client:
        (path,) = files_in(runtime_folder)
        await asyncio.to_thread(query_daemon, path, "stop")
        await wait_for(lambda: is_clean(runtime_folder))
        client.change(URI, 2, {"text": "y = "})
        assert first_suggestion(await client.inline_completion(URI, 0, 4))
        assert (await client.request("starcoder/text", {"uri": URI}))["text"] == "y = "
        assert len(daemons(runtime_folder)) == 1


@async_test
async def test_model_that_cannot_be_loaded_is_reported_to_each_window(runtime_folder: Path) -> None:
    async with open_window({"failure": "No room."}, is_ready=False) as first:
        await wait_for_phase(first, "failed")
        async with open_window({"failure": "No room."}, is_ready=False) as second:
            await wait_for(lambda: bool(shown_messages(first)) and bool(shown_messages(second)))
            assert shown_messages(first) == shown_messages(second) == ["StarCoder: No room."]
            assert len(daemons(runtime_folder)) == 1


@async_test
async def test_window_has_a_private_server_if_there_is_no_runtime_folder(
    runtime_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk, or without permission to write."""
    file = runtime_folder.parent / "file"
    file.write_text("no folder")
    monkeypatch.setenv("STARCODER_LS_RUNTIME", str(file))
    async with open_window(QUICK_ENGINE) as client:
        assert not (await request_status(client))["sharing"]["isShared"]
        assert first_suggestion(await client.inline_completion(URI, 0, 4))
        assert await client.shutdown() == 0


@async_test
async def test_client_that_sends_garbage_is_rejected(runtime_folder: Path) -> None:
    async with open_window(QUICK_ENGINE) as client:
        (path,) = files_in(runtime_folder)
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 9000, b"Content-Length: 2\r\n\r\n[]"):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(garbage)
            assert await reader.read() == b""
            writer.close()
        assert first_suggestion(await client.inline_completion(URI, 0, 4))


@pytest.mark.usefixtures("runtime_folder")
@async_test
async def test_window_exits_with_its_editor_though_the_pipe_stays_open() -> None:
    editor = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=subprocess.PIPE)
    async with start([*WINDOW_COMMAND, json.dumps(QUICK_ENGINE)], stderr=subprocess.DEVNULL) as client:
        await client.initialize({}, INLINE_COMPLETION, editor.pid)
        editor.kill()
        await editor.wait()
        assert client.process is not None
        assert await client.process.wait() == 1


@pytest.mark.usefixtures("runtime_folder")
@async_test
async def test_terminated_window_exits_with_the_code_of_the_protocol() -> None:
    async with open_window(QUICK_ENGINE) as window:
        assert window.process is not None
        window.process.terminate()
        assert await window.process.wait() == 1
