"""The queue of requests, and the order in which they run.

Requests that have ended come first, then the order is by priority, then clients take turns, then by arrival. It is
decided again after every pass, so that a completion overtakes an explanation between two tokens.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.errors import EngineClosed
from starcoder_ls.generation import FinishReason, Priority, Request
from starcoder_ls.output_stream import OutputStream

if TYPE_CHECKING:  # torch is imported by the engine's thread
    from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter
    from starcoder_ls.engine.forward_pass import ForwardPass
    from starcoder_ls.engine.generation.request_generation import Steps

TURN_PASSES = 32
"""Passes of one client while another client of the same priority waits: a short suggestion."""

MAX_RETAINED_CLIENTS = 64


@dataclass(eq=False, slots=True)
class ScheduledRequest:
    """A request in the queue, and the generator that works on it once it has started.

    ``adapter`` is resolved when the request arrives: the request keeps it even if the name is removed meanwhile.
    ``control_task`` is other work for the engine's thread, in place of the request. ``next_pass`` is the forward pass
    that it waits for; ``last_pass_number`` counts passes over all requests; ``has_reading_turn``: it was given a turn
    for a long pass.
    """

    request: Request
    output: OutputStream
    is_prefill: bool = False
    adapter: ResidentAdapter | None = None
    control_task: Callable[[], None] | None = None
    submitted_s: float = field(default_factory=time.monotonic)
    steps: Steps | None = None
    next_pass: ForwardPass | None = None
    last_pass_number: int = 0
    has_reading_turn: bool = False
    is_finished: bool = False
    abandoned: CancelFlag = field(default_factory=CancelFlag)

    @property
    def priority(self) -> Priority:
        return Priority.PREFILL if self.is_prefill else self.request.priority

    @property
    def needs_device(self) -> bool:
        """Whether it needs passes, rather than one moment of the engine's thread."""
        return self.control_task is None and self.interruption() is None

    def interruption(self) -> FinishReason | None:
        """Why it should end now, if it should."""
        if self.abandoned.is_set() or self.request.cancel.is_set():
            return FinishReason.CANCELLED
        deadline_s = self.request.deadline_s
        return FinishReason.DEADLINE if deadline_s is not None and time.monotonic() >= deadline_s else None


class RequestQueue:
    """All requests that have not ended, in order of arrival."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[ScheduledRequest] = []
        self._current: ScheduledRequest | None = None
        self._passes_left = 0
        self._last_turns: dict[str, int] = {}  # by client
        self._turn = 0
        self._is_closed = False

    def add(self, request: ScheduledRequest) -> None:
        """Raises EngineClosed after ``close``."""
        with self._changed:
            if self._is_closed:
                raise EngineClosed("The engine has been closed. Start the server again.")
            self._requests.append(request)
            self._changed.notify()

    def remove(self, request: ScheduledRequest) -> None:
        """Raises ValueError if it is not in the queue."""
        with self._changed:
            self._requests.remove(request)

    def is_idle(self) -> bool:
        with self._changed:
            return not self._requests

    def stays_quiet(self, seconds: float) -> bool:
        """Whether the queue is empty and stays so for ``seconds``; False once closed."""
        with self._changed:
            return not self._changed.wait_for(lambda: bool(self._requests) or self._is_closed, seconds)

    def next_request(self) -> ScheduledRequest | None:
        """The request to work on now, waiting for one to arrive; None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._requests or self._is_closed)
            if self._is_closed:
                return None
            request = min(self._requests, key=self._rank)
            self._take_turn(request)
            return request

    def peers_of(self, request: ScheduledRequest) -> list[ScheduledRequest]:
        """The others of its priority that need the device: the first of each client, then the second of each, ...

        Of one client those that have started come first, and of these the one that has waited longest for a pass.
        """
        with self._changed:
            peers = [
                other
                for other in self._requests
                if other is not request and other.priority == request.priority and other.needs_device
            ]
        peers.sort(key=lambda peer: (peer.steps is None, peer.last_pass_number))
        counts: Counter[str] = Counter()
        ranks: list[tuple[int, int]] = []  # number among its client's, index
        for index, peer in enumerate(peers):
            ranks.append((counts[peer.request.client], index))
            counts[peer.request.client] += 1
        return [peers[index] for _, index in sorted(ranks)]

    def more_urgent_than(self, request: ScheduledRequest) -> list[ScheduledRequest]:
        """The others of a higher priority and those that have ended, the most urgent first; none after ``close``.

        Control tasks are not among them: they run between two passes.
        """
        with self._changed:
            urgent = [
                other
                for other in self._requests
                if other is not request
                and other.control_task is None
                and (other.priority < request.priority or not other.needs_device)
            ]
            return [] if self._is_closed else sorted(urgent, key=self._rank)

    def give_turn(self, request: ScheduledRequest) -> None:
        """``request`` runs its next pass before others of its priority."""
        with self._changed:
            self._turn += 1
            self._current, self._passes_left = request, 1

    def _rank(self, request: ScheduledRequest) -> tuple[bool, Priority, bool, int]:
        """Ended requests first, then by priority, then the one whose turn it is, then the longest without a turn."""
        has_turn = request is self._current and self._passes_left > 0
        return request.needs_device, request.priority, not has_turn, self._last_turns.get(request.request.client, 0)

    def _take_turn(self, request: ScheduledRequest) -> None:
        """A client keeps its turn for ``TURN_PASSES``: with turns of one pass two suggestions would both come late."""
        if request is not self._current:
            self._turn += 1
            self._current, self._passes_left = request, TURN_PASSES
        elif self._passes_left == 0:
            self._turn += 1
            self._passes_left = TURN_PASSES
        self._passes_left -= 1
        self._last_turns[request.request.client] = self._turn
        if len(self._last_turns) > MAX_RETAINED_CLIENTS:
            del self._last_turns[min(self._last_turns, key=self._last_turns.__getitem__)]

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def drain(self) -> list[ScheduledRequest]:
        """Remove and return the requests that are left after ``close``."""
        with self._changed:
            left, self._requests = self._requests, []
            return left
