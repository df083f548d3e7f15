"""Who runs next.

Decides the order of requests: what is already over, then by priority, then clients by turns, then by arrival; asked
again after every piece of work, so that a completion overtakes an explanation between two tokens. Refuses to know
models and torch.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from starcoder_ls.errors import EngineClosed
from starcoder_ls.generation import CancelFlag, Chunk, FinishReason, Priority, Request

TURN_PIECES = 32
"""Passes that one client's work may take while another's of the same priority waits: a short suggestion."""

_KNOWN_CLIENTS = 64

_MOST_UNSEEN = 16
"""Chunks that say nothing yet and wait for one that does: to wake the loop costs the engine's thread 0.5 ms, as it
gives up the interpreter for it, and half of what a token of the bundled model takes."""

Delivery = tuple[Chunk, ...] | BaseException | None
"""Chunks, or the error that ended the request, or its regular end."""


class OutputStream:
    """The way from the engine's thread to one waiting task."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[Delivery] = asyncio.Queue()
        self._unseen: tuple[Chunk, ...] = ()

    def put(self, delivery: Delivery) -> None:
        """From one thread at a time. A loop that is closed has nobody waiting."""
        if isinstance(delivery, tuple):
            self._unseen += delivery
            is_silent = not any(chunk.text or chunk.finish_reason is not None for chunk in delivery)
            if is_silent and len(self._unseen) < _MOST_UNSEEN:
                return
            delivery, self._unseen = self._unseen, ()
        elif self._unseen:
            self._send(self._unseen)
            self._unseen = ()
        self._send(delivery)

    def _send(self, delivery: Delivery) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, delivery)
        except RuntimeError:
            return

    async def chunks(self) -> tuple[Chunk, ...] | None:
        """The next ones, None after the last. Raises what ended the request."""
        delivery = await self._arrived.get()
        if isinstance(delivery, BaseException):
            raise delivery
        return delivery


@dataclass(eq=False, slots=True)
class ScheduledRequest:
    """A request on its way, and the generator that works on it once it has begun.

    ``adapter`` is whatever the engine resolved the request's name to: the request keeps it, come what may of the name.
    ``errand`` is other work for the engine's thread, in place of the request. ``wanted`` is the pass that it waits for;
    ``served`` is the number of the last it got, counted over all; ``is_reading``: it was given a turn for a long one.
    """

    request: Request
    outlet: OutputStream
    is_prefill: bool = False
    adapter: object = None
    errand: Callable[[], None] | None = None
    submitted_s: float = field(default_factory=time.monotonic)
    work: Generator[Any, Any, None] | None = None
    wanted: object = None
    served: int = 0
    is_reading: bool = False
    is_over: bool = False
    abandoned: CancelFlag = field(default_factory=CancelFlag)

    @property
    def priority(self) -> Priority:
        return Priority.PREFILL if self.is_prefill else self.request.priority

    @property
    def is_long(self) -> bool:
        """It wants the device, rather than one moment of the thread."""
        return self.errand is None and self.interrupted() is None

    def interrupted(self) -> FinishReason | None:
        """Why it should end now, if it should."""
        if self.abandoned.is_set() or self.request.cancel.is_set():
            return FinishReason.CANCELLED
        deadline_s = self.request.deadline_s
        return FinishReason.DEADLINE if deadline_s is not None and time.monotonic() >= deadline_s else None


class RequestQueue:
    """All jobs that are not over, in order of arrival."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: list[ScheduledRequest] = []
        self._current: ScheduledRequest | None = None
        self._pieces_left = 0
        self._turns: dict[str, int] = {}
        self._turn = 0
        self._is_closed = False

    def add(self, job: ScheduledRequest) -> None:
        """Raises EngineClosed."""
        with self._changed:
            if self._is_closed:
                raise EngineClosed("The engine has been closed. Start the server again.")
            self._jobs.append(job)
            self._changed.notify()

    def remove(self, job: ScheduledRequest) -> None:
        with self._changed:
            self._jobs.remove(job)

    def is_idle(self) -> bool:
        with self._changed:
            return not self._jobs

    def stays_quiet(self, seconds: float) -> bool:
        """Nobody is there, nor comes within ``seconds``; False once closed."""
        with self._changed:
            return not self._changed.wait_for(lambda: bool(self._jobs) or self._is_closed, seconds)

    def best(self) -> ScheduledRequest | None:
        """The job to work on now, waiting for one to come; None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_closed)
            if self._is_closed:
                return None
            best = min(self._jobs, key=self._rank)
            self._take_turn(best)
            return best

    def equals(self, job: ScheduledRequest) -> list[ScheduledRequest]:
        """The others of its priority that want the device: of each client the first, then of each the second, ...

        Of one client those that have begun come first, of these whoever has waited longest for a pass.
        """
        with self._changed:
            others = [one for one in self._jobs if one is not job and one.priority == job.priority and one.is_long]
        others.sort(key=lambda one: (one.work is None, one.served))
        numbers: Counter[str] = Counter()
        places: list[tuple[int, int]] = []
        for at, one in enumerate(others):
            places.append((numbers[one.request.client], at))
            numbers[one.request.client] += 1
        return [others[at] for _, at in sorted(places)]

    def give_turn(self, job: ScheduledRequest) -> None:
        """To ``job`` for one pass, before others of its priority."""
        with self._changed:
            self._turn += 1
            self._current, self._pieces_left = job, 1

    def _rank(self, job: ScheduledRequest) -> tuple[bool, Priority, bool, int]:
        """What is over, then by priority; among equals whoever has the turn, then whose last turn is longest ago."""
        has_turn = job is self._current and self._pieces_left > 0
        return job.is_long, job.priority, not has_turn, self._turns.get(job.request.client, 0)

    def _take_turn(self, job: ScheduledRequest) -> None:
        """A client keeps the device for TURN_PIECES: in turns of one, two suggestions would both come late."""
        if job is not self._current:
            self._turn += 1
            self._current, self._pieces_left = job, TURN_PIECES
        elif self._pieces_left == 0:
            self._turn += 1
            self._pieces_left = TURN_PIECES
        self._pieces_left -= 1
        self._turns[job.request.client] = self._turn
        if len(self._turns) > _KNOWN_CLIENTS:
            del self._turns[min(self._turns, key=self._turns.__getitem__)]

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def drain(self) -> list[ScheduledRequest]:
        """Whoever is left, after the end."""
        with self._changed:
            left, self._jobs = self._jobs, []
            return left
