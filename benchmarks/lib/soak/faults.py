"""Kills, stops and terminates processes at random: daemons, and windows in each way in which an editor can end one."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import psutil

from lib.soak.process_samples import daemon_ids
from lib.soak.request_ledger import RequestLedger
from lib.soak.window import Window

SHORT_STOP_S, LONG_STOP_S = (0.5, 3.0), (7.0, 12.0)
"""Windows replace a daemon that is stopped for longer than 5 s."""


class FaultInjector:
    """Faults of the windows of one group, and of their daemon unless ``spares_daemon``.

    ``mean_interval_s`` is the mean time between two faults, which are exponentially distributed.
    """

    def __init__(
        self,
        windows: Sequence[Window],
        runtime_folder: Path,
        ledger: RequestLedger,
        rng: random.Random,
        mean_interval_s: float,
        spares_daemon: bool = False,
    ) -> None:
        self._windows, self._runtime_folder, self._ledger, self._rng = windows, runtime_folder, ledger, rng
        self._mean_interval_s = mean_interval_s
        self._faults: list[Callable[[], Awaitable[None]]] = [
            self._kill_window, self._terminate_window, self._stop_window, self._end_window, self._end_window,
        ]  # fmt: skip
        if not spares_daemon:
            self._faults += [self._kill_daemon, self._terminate_daemon, self._stop_daemon, self._hang_daemon]
        self.count = 0
        self.is_paused = False

    async def run(self) -> None:
        """Until the task is cancelled. A stopped process is continued then too."""
        while True:
            await asyncio.sleep(self._rng.expovariate(1 / self._mean_interval_s))
            if self.is_paused:
                continue
            with contextlib.suppress(psutil.NoSuchProcess):
                await self._rng.choice(self._faults)()
                self.count += 1

    async def _kill_window(self) -> None:
        window, process = self._random_window()
        window.mark_ended("SIGKILL")
        process.kill()

    async def _terminate_window(self) -> None:
        window, process = self._random_window()
        window.mark_ended("SIGTERM")
        process.terminate()

    async def _stop_window(self) -> None:
        window, process = self._random_window()
        await self._stop(window.name, process, self._rng.uniform(*SHORT_STOP_S))

    async def _end_window(self) -> None:
        window, _ = self._random_window()
        window.leave(self._rng.choice(("shutdown", "exit without shutdown", "end of input")))

    async def _kill_daemon(self) -> None:
        process = self._daemon()
        self._ledger.record_event(f"daemon {process.pid}", "SIGKILL")
        process.kill()

    async def _terminate_daemon(self) -> None:
        process = self._daemon()
        self._ledger.record_event(f"daemon {process.pid}", "SIGTERM")
        process.terminate()

    async def _stop_daemon(self) -> None:
        process = self._daemon()
        await self._stop(f"daemon {process.pid}", process, self._rng.uniform(*SHORT_STOP_S))

    async def _hang_daemon(self) -> None:
        process = self._daemon()
        await self._stop(f"daemon {process.pid}", process, self._rng.uniform(*LONG_STOP_S))

    async def _stop(self, name: str, process: psutil.Process, seconds: float) -> None:
        self._ledger.record_event(name, f"SIGSTOP for {seconds:.1f} s")
        process.suspend()
        try:
            await asyncio.sleep(seconds)
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
            self._ledger.record_event(name, "SIGCONT")

    def _random_window(self) -> tuple[Window, psutil.Process]:
        """Raises psutil.NoSuchProcess if none runs."""
        running = [(window, window.process) for window in self._windows if window.process is not None]
        if not running:
            raise psutil.NoSuchProcess(0)
        return self._rng.choice(running)

    def _daemon(self) -> psutil.Process:
        """Raises psutil.NoSuchProcess if there is none."""
        if not (found := daemon_ids(self._runtime_folder)):
            raise psutil.NoSuchProcess(0)
        return psutil.Process(self._rng.choice(found))
