"""Several windows and one resident process, all of them real; the engine is scripted."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import INLINE_COMPLETION, URI, async_test, wait_until, wait_until_ready
from starcoder_ls.daemon import connect_or_spawn, runtime_dir
from starcoder_ls.lsp.client import Client, ResponseFailed, start

WINDOW = [sys.executable, str(Path(__file__).parents[1] / "window_fake.py")]
QUICK: dict[str, Any] = {"token_s": 0.001}
SLOW: dict[str, Any] = {"scripts": [["x = ", "1", "\n"]], "token_s": 0.05}
ENDLESS: dict[str, Any] = {"scripts": [[f"word{i} " for i in range(5000)]], "token_s": 0.02}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder of its own; whatever still runs behind it is killed after the test."""
    folder = tmp_path / "run"
    monkeypatch.setenv("STARCODER_LS_RUNTIME", str(folder))
    monkeypatch.setenv("FAKE_IDLE_S", "600")
    yield folder
    for process in residents(folder):
        process.kill()


def residents(folder: Path) -> list[psutil.Process]:
    """The processes whose last argument is a socket in ``folder``."""
    behind = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or [""]
        if line[-1].startswith(str(folder)):
            behind.append(process)
    return behind


@asynccontextmanager
async def window(
    engine: dict[str, Any], text: str = "x = ", is_ready: bool = True, through: tuple[str, ...] = ()
) -> AsyncIterator[Client]:
    """``through`` is a command that runs the rest of its arguments."""
    command = [*through, *WINDOW, json.dumps(engine)]
    async with start(command, stderr=subprocess.DEVNULL) as client:
        await client.initialize({"inline_completion": {"budget_ms": 60_000}}, INLINE_COMPLETION)
        if is_ready:
            await wait_until_ready(client)
        client.open(URI, text)
        yield client


def suggested(items: Any) -> str:
    assert items, "no suggestion"
    return str(items[0]["insertText"])


async def status(client: Client) -> dict[str, Any]:
    answer: dict[str, Any] = await client.request("starcoder/status")
    return answer


async def working(client: Client) -> None:
    while (await status(client))["phase"] != "working":  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def found(folder: Path) -> list[Path]:
    """Each file in it: one socket, usually."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def nothing_is_left(folder: Path) -> bool:
    return not residents(folder) and not found(folder)


@async_test
async def test_ten_starts_in_the_same_instant_share_one_process(home: Path) -> None:
    async with AsyncExitStack() as stack:
        entering = [stack.enter_async_context(window(QUICK)) for _ in range(10)]
        windows = await asyncio.gather(*entering)
        assert len(residents(home)) == 1
        assert (await status(windows[0]))["sharing"]["windows"] == 10
        answers = await asyncio.gather(*(one.inline_completion(URI, 0, 4) for one in windows))
        assert all(suggested(answer) for answer in answers)
        assert [path.suffix for path in found(home)] == [".sock"]
        assert [oct(os.stat(path).st_mode & 0o777) for path in (home, *found(home))] == ["0o700", "0o600"]


@pytest.mark.usefixtures("home")
@async_test
async def test_the_text_of_one_window_is_not_another_s() -> None:
    async with window(QUICK, "first = ") as one, window(QUICK, "second = ") as two:
        assert (await one.request("starcoder/text", {"uri": URI}))["text"] == "first = "
        assert (await two.request("starcoder/text", {"uri": URI}))["text"] == "second = "
        await one.shutdown()
        assert suggested(await two.inline_completion(URI, 0, 9))


@pytest.mark.usefixtures("home")
@async_test
async def test_nothing_of_one_window_is_in_what_another_is_told() -> None:
    """The same file with another text in each, and an engine that says which text it was asked about."""
    names = ("alpha", "beta", "gamma")
    engine = {"replies": {f"{name} =": [f"{name}_1", "\n"] for name in names}}
    async with AsyncExitStack() as stack:
        windows = [await stack.enter_async_context(window(engine, f"{name} = ")) for name in names]
        for version in range(2, 22):
            for one, name in zip(windows, names, strict=True):
                one.change(URI, version, {"text": f"# {version}\n{name} = "})
            asked = [one.inline_completion(URI, 1, len(name) + 3) for one, name in zip(windows, names, strict=True)]
            assert [suggested(await answer) for answer in asked] == [f"{name}_1" for name in names]
        for one, name in zip(windows, names, strict=True):
            everything = json.dumps([one.notifications, one.unmatched_responses, await status(one)])
            assert not [other for other in names if other != name and other in everything]


@async_test
async def test_a_killed_window_leaves_the_others_alone(home: Path) -> None:
    async with window(ENDLESS) as victim, window(ENDLESS) as other:
        victim.inline_completion(URI, 0, 4)
        await working(other)
        assert victim.process is not None
        victim.process.kill()
        await victim.wait_closed()
        while (await status(other))["sharing"]["windows"] != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert len(residents(home)) == 1


@async_test
async def test_a_killed_process_costs_a_pause_and_each_request_is_answered_once(home: Path) -> None:
    async with window(SLOW) as one, window(SLOW) as two:
        first = residents(home)[0]
        one.change(
            URI,
            2,
            {"range": {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 1}}, "text": "long"},
        )
        asked, command = one.inline_completion(URI, 0, 7), one.request("workspace/executeCommand", {"command": "none"})
        with pytest.raises(ResponseFailed):
            await command
        await working(one)
        first.kill()
        assert suggested(await asked)
        assert (await one.request("starcoder/text", {"uri": URI}))["text"] == "long = "
        assert (await two.request("starcoder/text", {"uri": URI}))["text"] == "x = "
        assert one.unmatched_responses == two.unmatched_responses == []
        assert len(residents(home)) == 1
        assert residents(home)[0].pid != first.pid


@pytest.mark.usefixtures("home")
@async_test
async def test_a_window_that_is_stopped_holds_up_nobody() -> None:
    """Twenty times, each with an answer that waits for it."""
    async with window(QUICK) as stopped, window(QUICK) as other:
        assert stopped.process is not None
        for version in range(2, 22):
            os.kill(stopped.process.pid, signal.SIGSTOP)
            waiting = stopped.request("starcoder/status")
            text = f"x{version} = "
            other.change(URI, version, {"text": text})
            assert suggested(await asyncio.wait_for(other.inline_completion(URI, 0, len(text)).future, 5))
            os.kill(stopped.process.pid, signal.SIGCONT)
            assert (await waiting)["sharing"]["windows"] == 2
        assert stopped.unmatched_responses == other.unmatched_responses == []


@async_test
async def test_nothing_is_left_once_nobody_has_come_for_long_enough(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_IDLE_S", "0.5")
    async with window(QUICK) as client:
        await asyncio.sleep(1.0)
        assert suggested(await client.inline_completion(URI, 0, 4))
        await client.shutdown()
    await wait_until(lambda: nothing_is_left(home), 10)


@async_test
async def test_the_socket_of_a_killed_process_is_no_obstacle(home: Path) -> None:
    async with window(QUICK) as client:
        path = found(home)[0]
        await client.shutdown()
    for process in residents(home):
        process.kill()
    await wait_until(lambda: not residents(home))
    assert found(home) == [path]
    async with window(QUICK) as client:
        assert suggested(await client.inline_completion(URI, 0, 4))


@async_test
async def test_a_process_that_was_stopped_comes_back_with_the_next_request_only(home: Path) -> None:
    async with window(QUICK) as client:
        connection = runtime_dir.connect(found(home)[0])
        assert connection is not None
        assert await asyncio.to_thread(connect_or_spawn.exchange, connection, {"query": "stop"})
        connection.close()
        await wait_until(lambda: nothing_is_left(home), 10)
        client.change(URI, 2, {"text": "y = "})
        await asyncio.sleep(0.3)
        assert residents(home) == []
        assert suggested(await client.inline_completion(URI, 0, 4))
        assert (await client.request("starcoder/text", {"uri": URI}))["text"] == "y = "


@async_test
async def test_a_model_that_cannot_load_is_one_message_for_each_window(home: Path) -> None:
    async with window({"failure": "No room."}, is_ready=False) as one:
        while (await status(one))["phase"] != "failed":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        async with window({"failure": "No room."}, is_ready=False) as two:
            await wait_until(lambda: bool(said(one)) and bool(said(two)))
            assert said(one) == said(two) == ["StarCoder: No room."]
            assert len(residents(home)) == 1


def said(client: Client) -> list[str]:
    return [params["message"] for name, params in client.notifications if name == "window/showMessage"]


@async_test
async def test_without_a_folder_for_the_socket_a_window_has_a_server_of_its_own(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a full disk or a folder that cannot be written."""
    home.parent.joinpath("file").write_text("no folder")
    monkeypatch.setenv("STARCODER_LS_RUNTIME", str(home.parent / "file"))
    async with window(QUICK) as client:
        assert not (await status(client))["sharing"]["isShared"]
        assert suggested(await client.inline_completion(URI, 0, 4))
        assert await client.shutdown() == 0


@async_test
async def test_garbage_at_the_socket_is_put_out_and_harms_nobody(home: Path) -> None:
    async with window(QUICK) as client:
        path = found(home)[0]
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 9000, b"Content-Length: 2\r\n\r\n[]"):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(garbage)
            assert await reader.read() == b""
            writer.close()
        assert suggested(await client.inline_completion(URI, 0, 4))


@pytest.mark.usefixtures("home")
@async_test
async def test_the_end_of_the_editor_ends_its_window_though_the_pipe_stays_open() -> None:
    editor = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    async with start([*WINDOW, json.dumps(QUICK)], stderr=subprocess.DEVNULL) as client:
        await client.initialize({}, INLINE_COMPLETION, editor.pid)
        editor.kill()
        await editor.wait()
        assert client.process is not None
        assert await asyncio.wait_for(client.process.wait(), 5) == 1
