"""Windows and resident processes that are killed, cannot start, or have no disk: ten to twenty times each.

`STARCODER_LS_FAULTS` is how often those run that take too long for that; 20 where one has two minutes.
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

from e2e.test_sharing import (
    QUICK,
    SLOW,
    WINDOW,
    found,
    home,
    nothing_is_left,
    residents,
    said,
    status,
    suggested,
    window,
    working,
)
from harness import INLINE_COMPLETION, URI, async_test, wait_until
from starcoder_ls.lsp.client import ResponseFailed, start

__all__ = ["home"]

TIMES = int(os.environ.get("STARCODER_LS_FAULTS", "1"))
STOP = [sys.executable, "-m", "starcoder_ls", "stop"]
NO_DISK = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")
CAN_MOUNT = (
    shutil.which("unshare") is not None
    and subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0
)


@pytest.mark.slow
def test_windows_and_editors_killed_in_mid_generation_and_idle_harm_nobody(home: Path) -> None:
    """Each time one window of each kind is killed, and one loses its editor."""

    async def run() -> None:
        async with window(SLOW) as other:
            for version in range(2, 22):
                async with AsyncExitStack() as stack:
                    entering = [stack.enter_async_context(window(SLOW, is_ready=False)) for _ in range(3)]
                    idle, busy, orphan = await asyncio.gather(*entering)
                    asked = [one.inline_completion(URI, 0, 4).future for one in (busy, orphan)]
                    await working(other)
                    for victim in (idle, busy):
                        assert victim.process is not None
                        victim.process.kill()
                    orphan.close()
                    assert await orphan.wait_closed() == 1
                    await asyncio.gather(*asked, return_exceptions=True)
                text = f"x{version} = "
                other.change(URI, version, {"text": text})
                assert suggested(await other.inline_completion(URI, 0, len(text)))
            assert other.unmatched_responses == []
            assert len(residents(home)) == 1
            assert (await status(other))["sharing"]["windows"] == 1
        assert len(found(home)) == 1

    asyncio.run(asyncio.wait_for(run(), 120))


@pytest.mark.slow
def test_a_process_killed_again_and_again_answers_each_request_of_each_window_once(home: Path) -> None:
    """One window idle, one in mid-generation; new ones each time, since one that loses four in a row gives up."""
    recovered_s: list[float] = []

    async def once() -> None:
        async with window(SLOW, is_ready=False) as idle, window(SLOW) as busy:
            (victim,) = residents(home)
            asked = busy.inline_completion(URI, 0, 4)
            await working(busy)
            victim.kill()
            began_s = time.monotonic()
            assert suggested(await asked)
            recovered_s.append(time.monotonic() - began_s)
            assert suggested(await idle.inline_completion(URI, 0, 4))
            assert idle.unmatched_responses == busy.unmatched_responses == []
            assert said(idle) == said(busy) == []
            assert victim.pid not in [process.pid for process in residents(home)]
            assert len(residents(home)) == 1
            assert len(found(home)) == 1

    async def run() -> None:
        for _ in range(max(TIMES, 10)):
            await once()

    asyncio.run(asyncio.wait_for(run(), 180))
    median_s, worst_s = statistics.median(recovered_s), max(recovered_s)
    logging.getLogger(__name__).warning("a suggestion %.2f s after kill -9, at most %.2f s", median_s, worst_s)
    assert median_s < 10


@pytest.mark.slow
def test_ten_starts_in_the_same_instant_make_one_process_each_time(home: Path) -> None:
    async def run() -> None:
        for _ in range(TIMES):
            async with AsyncExitStack() as stack:
                entering = [stack.enter_async_context(window(QUICK, is_ready=False)) for _ in range(10)]
                await asyncio.gather(*entering)
                assert len(residents(home)) == 1
            await asyncio.to_thread(subprocess.run, STOP, check=True, capture_output=True)
            await wait_until(lambda: nothing_is_left(home))

    asyncio.run(asyncio.wait_for(run(), 30 * TIMES))


@pytest.mark.slow
def test_without_room_on_the_disk_windows_share_all_the_same(home: Path) -> None:
    """No file can grow: a socket and a lock have no content."""

    async def run() -> None:
        for _ in range(TIMES):
            async with window(QUICK, through=NO_DISK) as one, window(QUICK, through=NO_DISK) as two:
                assert suggested(await one.inline_completion(URI, 0, 4))
                assert (await status(two))["sharing"]["windows"] == 2
                assert await one.shutdown() == await two.shutdown() == 0
            await asyncio.to_thread(subprocess.run, STOP, check=True, capture_output=True)
            await wait_until(lambda: nothing_is_left(home))

    asyncio.run(asyncio.wait_for(run(), 30 * TIMES))


@pytest.mark.skipif(not CAN_MOUNT, reason="mounting is not permitted here")
@pytest.mark.parametrize("options", ["ro", "nr_inodes=1"], ids=["read-only", "no inode left"])
@async_test
async def test_where_nothing_can_be_created_each_window_has_a_server_of_its_own(home: Path, options: str) -> None:
    """The runtime folder and the home folder are file systems that take no file."""
    os.mkdir(home, mode=0o700)
    user = home.with_name("user")
    os.mkdir(user)
    mounts = "; ".join(f"mount -t tmpfs -o mode=700,{options} t {folder}" for folder in (home, user))
    through = ("env", f"HOME={user}", "unshare", "-rm", "sh", "-ec", f'{mounts}; exec "$@"', "sh")
    async with window(QUICK, through=through) as one, window(QUICK, through=through) as two:
        for client in (one, two):
            assert suggested(await client.inline_completion(URI, 0, 4))
            assert not (await status(client))["sharing"]["isShared"]
            assert await client.shutdown() == 0
    assert nothing_is_left(home)


@async_test
async def test_a_process_that_cannot_start_is_one_answer_and_a_few_starts(home: Path, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    engine = {"instead": f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(3)"}
    async with AsyncExitStack() as stack:
        command = [*WINDOW, json.dumps(engine)]
        windows = [await stack.enter_async_context(start(command, stderr=subprocess.DEVNULL)) for _ in range(2)]
        for one in windows:
            with pytest.raises(ResponseFailed, match="4 times in a row"):
                await one.initialize({}, INLINE_COMPLETION)
            assert said(one) == []
        before = len(starts.read_text())
        assert before <= 2 * 4 * 3
        await asyncio.sleep(0.5)
        assert len(starts.read_text()) == before
        assert (await status(windows[0]))["phase"] == "failed"
        assert await windows[0].shutdown() == 0
    assert nothing_is_left(home)
