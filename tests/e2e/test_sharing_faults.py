"""Windows and daemons that are killed, cannot start, or have no disk.

The environment variable ``STARCODER_LS_FAULTS`` sets how often each is repeated (default 1 to 5).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from harness import INLINE_COMPLETION, URI, async_test
from starcoder_ls.lsp.client import ResponseFailed, start
from windows import (
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

REPETITIONS = int(os.environ.get("STARCODER_LS_FAULTS", "1"))
LIMIT_S = 600.0
"""What hangs fails."""

STOP_COMMAND = [sys.executable, "-m", "starcoder_ls", "stop"]
NO_DISK = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")
CAN_MOUNT = (
    shutil.which("unshare") is not None
    and subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0
)


async def stop_daemons(runtime_folder: Path) -> None:
    await asyncio.to_thread(subprocess.run, STOP_COMMAND, check=True, capture_output=True)
    await wait_for(lambda: is_clean(runtime_folder))


@pytest.mark.slow
def test_killed_windows_and_editors_do_not_affect_other_windows(runtime_folder: Path) -> None:
    """Each time an idle and a busy window are killed, and a busy one loses its editor."""

    async def run() -> None:
        async with open_window(SLOW_ENGINE) as other:
            for version in range(2, 2 + max(REPETITIONS, 5)):
                async with AsyncExitStack() as stack:
                    entering = [stack.enter_async_context(open_window(SLOW_ENGINE, is_ready=False)) for _ in range(3)]
                    idle, busy, orphan = await asyncio.gather(*entering)
                    pending = [window.inline_completion(URI, 0, 4).future for window in (busy, orphan)]
                    await wait_for_phase(other, "working")
                    for victim in (idle, busy):
                        assert victim.process is not None
                        victim.process.kill()
                    orphan.close()
                    assert await orphan.wait_closed() == 1
                    await asyncio.gather(*pending, return_exceptions=True)
                text = f"x{version} = "
                other.change(URI, version, {"text": text})
                assert first_suggestion(await other.inline_completion(URI, 0, len(text)))
            assert other.unmatched_responses == []
            assert len(daemons(runtime_folder)) == 1
            assert (await request_status(other))["sharing"]["windows"] == 1
        assert len(files_in(runtime_folder)) == 1

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


@pytest.mark.slow
def test_each_request_is_answered_once_each_time_the_daemon_is_killed(runtime_folder: Path) -> None:
    """With an idle and a busy window, new ones each time, since a window gives up after four daemons in a row."""
    recovery_s: list[float] = []

    async def kill_and_recover() -> None:
        async with open_window(SLOW_ENGINE, is_ready=False) as idle, open_window(SLOW_ENGINE) as busy:
            (victim,) = daemons(runtime_folder)
            pending = busy.inline_completion(URI, 0, 4)
            await wait_for_phase(busy, "working")
            victim.kill()
            killed_s = time.monotonic()
            assert first_suggestion(await pending)
            recovery_s.append(time.monotonic() - killed_s)
            assert first_suggestion(await idle.inline_completion(URI, 0, 4))
            assert idle.unmatched_responses == busy.unmatched_responses == []
            assert shown_messages(idle) == shown_messages(busy) == []
            (successor,) = daemons(runtime_folder)
            assert successor.pid != victim.pid
            assert len(files_in(runtime_folder)) == 1

    async def run() -> None:
        for _ in range(max(REPETITIONS, 3)):
            await kill_and_recover()

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))
    median_s, worst_s = statistics.median(recovery_s), max(recovery_s)
    logging.getLogger(__name__).warning("a suggestion %.2f s after kill -9, at most %.2f s", median_s, worst_s)


@pytest.mark.slow
def test_windows_that_start_at_once_spawn_one_daemon_each_time(runtime_folder: Path) -> None:
    async def run() -> None:
        for _ in range(REPETITIONS):
            async with AsyncExitStack() as stack:
                entering = [stack.enter_async_context(open_window(QUICK_ENGINE, is_ready=False)) for _ in range(10)]
                await asyncio.gather(*entering)
                assert len(daemons(runtime_folder)) == 1
            await stop_daemons(runtime_folder)

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


@pytest.mark.slow
def test_windows_share_a_daemon_although_no_file_can_grow(runtime_folder: Path) -> None:
    """As on a full disk: sockets and lock files have no content."""

    async def run() -> None:
        for _ in range(REPETITIONS):
            async with (
                open_window(QUICK_ENGINE, wrapper=NO_DISK) as first,
                open_window(QUICK_ENGINE, wrapper=NO_DISK) as second,
            ):
                assert first_suggestion(await first.inline_completion(URI, 0, 4))
                assert (await request_status(second))["sharing"]["windows"] == 2
                assert await first.shutdown() == await second.shutdown() == 0
            await stop_daemons(runtime_folder)

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


@pytest.mark.skipif(not CAN_MOUNT, reason="mounting is not permitted here")
@pytest.mark.parametrize("options", ["ro", "nr_inodes=1"], ids=["read-only", "no inode left"])
@async_test
async def test_window_has_a_private_server_if_no_file_can_be_created(runtime_folder: Path, options: str) -> None:
    """Runtime folder and home folder are file systems that accept no file."""
    os.mkdir(runtime_folder, mode=0o700)
    home = runtime_folder.with_name("user")
    os.mkdir(home)
    mounts = "; ".join(f"mount -t tmpfs -o mode=700,{options} t {folder}" for folder in (runtime_folder, home))
    wrapper = ("env", f"HOME={home}", "unshare", "-rm", "sh", "-ec", f'{mounts}; exec "$@"', "sh")
    async with (
        open_window(QUICK_ENGINE, wrapper=wrapper) as first,
        open_window(QUICK_ENGINE, wrapper=wrapper) as second,
    ):
        for client in (first, second):
            assert first_suggestion(await client.inline_completion(URI, 0, 4))
            assert not (await request_status(client))["sharing"]["isShared"]
            assert await client.shutdown() == 0
    assert is_clean(runtime_folder)


@async_test
async def test_daemon_that_cannot_start_is_tried_a_few_times_and_reported(runtime_folder: Path, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    engine = {"instead": f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(3)"}
    async with AsyncExitStack() as stack:
        command = [*WINDOW_COMMAND, json.dumps(engine)]
        windows = [await stack.enter_async_context(start(command, stderr=subprocess.DEVNULL)) for _ in range(2)]
        for window in windows:
            with pytest.raises(ResponseFailed, match="4 times in a row"):
                await window.initialize({}, INLINE_COMPLETION)
            assert shown_messages(window) == []
        starts_so_far = len(starts.read_text())
        assert starts_so_far <= 2 * 4 * 3
        assert (await request_status(windows[0]))["phase"] == "failed"
        for window in windows:
            assert await window.shutdown() == 0
    assert len(starts.read_text()) == starts_so_far  # both window processes have ended: nothing starts any more
    assert is_clean(runtime_folder)
