"""One step of the scheduler: a forward pass for the request that is next, and for the requests that can share it.

Decides which passes run as one batch, how many requests hold a cache at once, and which requests a failure ends.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from functools import partial

from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter
from starcoder_ls.engine.device_errors import has_device_failed
from starcoder_ls.engine.forward_pass import ForwardPass
from starcoder_ls.engine.generation.prompt_lookup import MAX_DRAFT_TOKENS
from starcoder_ls.engine.generation.request_generation import GenerationState, RequestGeneration, Steps
from starcoder_ls.engine.logits import Logits
from starcoder_ls.engine.memory import is_out_of_memory, release_memory
from starcoder_ls.engine.scheduling.request_queue import RequestQueue, ScheduledRequest
from starcoder_ls.errors import DeviceFailed, EngineError, OutOfMemory, StarcoderError
from starcoder_ls.generation import Chunk

_log = logging.getLogger(__name__)

MAX_SHARED_PASS_TOKENS = 1 + MAX_DRAFT_TOKENS
"""A pass over more tokens, such as a chunk of a prompt, is enough work to run alone."""

MAX_BATCH_TOKENS = 64
"""In one step, and never more than a chunk of a prompt, for which a keystroke may wait. Beyond it the arithmetic of a
token costs what it costs alone, so that a larger batch only takes longer."""

MAX_STARTED_REQUESTS = 16
"""Requests that hold a slot of the prefix cache at the same time; the others wait and need no memory."""

_HANDLED = "is_handled"
"""Set on an error that has been handled. Keeping the error itself would keep the tensors of the failed pass alive."""

Peer = tuple[ScheduledRequest, ForwardPass]


class Batcher:
    """Runs the requests of one model in the engine's thread. ``on_finished`` is called with each that has ended."""

    def __init__(
        self, queue: RequestQueue, state: GenerationState, on_finished: Callable[[ScheduledRequest], None]
    ) -> None:
        self._queue, self._state, self._on_finished = queue, state, on_finished
        self._runner = state.loaded.runner
        self._can_batch = self._runner.can_batch
        self._max_tokens = max(MAX_SHARED_PASS_TOKENS, min(MAX_BATCH_TOKENS, self._runner.unpaused_tokens))
        self._pass_number = 0
        self._paused: list[ScheduledRequest] = []

    def step(self, leader: ScheduledRequest) -> None:
        """Run the next pass of ``leader`` together with those that can share it, or let ``leader`` end.

        Raises DeviceFailed.
        """
        forward_pass = self._next_pass(leader)
        if forward_pass is None:
            return
        batch = [(leader, forward_pass)]
        if self._can_batch and forward_pass.tokens <= MAX_SHARED_PASS_TOKENS:
            batch += self._select_peers(leader, self._max_tokens - forward_pass.tokens)
        results = self._run([forward_pass for _, forward_pass in batch], leader)
        self._state.draft_history.rates.batch_size = len(batch)  # after the run, in whose pauses others may have run
        for (request, _), result in zip(batch, results, strict=True):
            self._pass_number += 1
            request.next_pass, request.last_pass_number = None, self._pass_number
            self._resume(request, result)

    def _select_peers(self, leader: ScheduledRequest, room: int) -> list[Peer]:
        """Requests whose next pass can join the leader's, of ``room`` tokens in all.

        One whose next pass is longer gets the next turn for it.
        """
        batch: list[Peer] = []
        long_reader: ScheduledRequest | None = None
        peers = [
            peer for peer in self._others(self._queue.peers_of(leader)) if _layers_key(peer) == _layers_key(leader)
        ]
        for peer in self._startable(peers, leader):
            forward_pass = self._next_pass(peer)
            if forward_pass is None:
                continue
            if forward_pass.tokens > MAX_SHARED_PASS_TOKENS:
                long_reader = peer if long_reader is None or peer.has_reading_turn else long_reader
            elif forward_pass.tokens <= room:
                room -= forward_pass.tokens
                batch.append((peer, forward_pass))
        if long_reader is not None:
            long_reader.has_reading_turn = True
            self._queue.give_turn(long_reader)
        return batch

    def _next_pass(self, request: ScheduledRequest) -> ForwardPass | None:
        """The pass that ``request`` needs next; None if it ended without one."""
        while not request.is_finished:
            if request.next_pass is None:
                self._resume(request, None)
            elif request.interruption() is not None:
                request.next_pass = None
                self._resume(request, None)  # the pass is not run; the request yields its last chunks
            else:
                return request.next_pass
        return None

    def _run_meanwhile(self, leader: ScheduledRequest) -> None:
        """While a long pass of ``leader`` pauses: all steps of more urgent requests, and one of those of its priority.

        Raises DeviceFailed.
        """
        self._paused.append(leader)
        try:
            while urgent := self._others(self._queue.more_urgent_than(leader)):
                self.step(urgent[0])
            for peer in self._startable(self._others(self._queue.peers_of(leader))):
                forward_pass = self._next_pass(peer)
                if forward_pass is not None and forward_pass.tokens <= MAX_SHARED_PASS_TOKENS:
                    self.step(peer)
                    return
        finally:
            self._paused.remove(leader)

    def _startable(
        self, requests: list[ScheduledRequest], *running: ScheduledRequest
    ) -> Generator[ScheduledRequest, None, None]:
        """Those of ``requests`` that have started, or may take a slot beside these, the paused ones and ``running``."""
        started = [*running, *self._paused, *(request for request in requests if request.steps is not None)]
        for request in requests:
            if request.steps is None:
                # Beside one of its document it would have to read all of its prompt into a slot of its own.
                if len(started) >= MAX_STARTED_REQUESTS or any(_is_same_document(request, other) for other in started):
                    continue
                started.append(request)
            yield request

    def _others(self, requests: list[ScheduledRequest]) -> list[ScheduledRequest]:
        """Those of ``requests`` that are not paused and do not wait for the slot of one that is."""
        return [
            request
            for request in requests
            if not any(request is paused or _is_same_document(request, paused) for paused in self._paused)
        ]

    def _run(self, passes: list[ForwardPass], leader: ScheduledRequest) -> list[Logits | Exception]:
        """The logits of each pass, or the error that it failed with. A batch that fails is run pass by pass.

        Raises DeviceFailed.
        """
        adapter = leader.adapter
        pause = None
        if self._runner.can_pause(adapter) and passes[0].tokens > MAX_SHARED_PASS_TOKENS:
            pause = partial(self._run_meanwhile, leader)
        starts = [forward_pass.cache.length for forward_pass in passes]
        if len(passes) > 1:
            try:
                return list(self._runner.run_batch(passes, adapter))
            except Exception as error:  # noqa: BLE001 - whatever it is, one of the passes causes it nearly always
                self._handle(error)
                _log.debug("a batch of %d passes failed", len(passes), exc_info=True)
        results: list[Logits | Exception] = []
        for forward_pass, start in zip(passes, starts, strict=True):
            result = self._run_single(forward_pass, start, adapter, pause)
            if isinstance(result, Exception) and is_out_of_memory(result):
                result = self._run_single(forward_pass, start, adapter, None)  # memory has been released since
            results.append(result)
        return results

    def _run_single(
        self, forward_pass: ForwardPass, start: int, adapter: ResidentAdapter | None, pause: Callable[[], None] | None
    ) -> Logits | Exception:
        forward_pass.cache.truncate(start)
        try:
            return self._runner.run(forward_pass, adapter, pause)
        except DeviceFailed:  # while it paused
            raise
        except Exception as error:  # noqa: BLE001 - the other requests go on
            self._handle(error)
            return error

    def _handle(self, error: Exception) -> None:
        """After an out-of-memory error, use smaller batches and less cache from here on. Raises DeviceFailed."""
        if _HANDLED in vars(error):
            return
        vars(error)[_HANDLED] = True
        if has_device_failed(error):
            _log.error("the device failed", exc_info=error)
            name = type(error).__name__
            raise DeviceFailed(f"The device has failed ({name}). The model is loaded again; ask once more.") from error
        if is_out_of_memory(error):
            self._max_tokens = max(MAX_SHARED_PASS_TOKENS, self._max_tokens // 2)
            self._state.prefix_cache.shrink()
            if self._runner.graphs is not None:
                self._runner.graphs.disable("a pass ran out of memory")
            release_memory()
            _log.warning(
                "out of memory: batches have at most %d tokens from now on, and fewer prefixes are cached",
                self._max_tokens,
            )

    def _resume(self, request: ScheduledRequest, result: Logits | Exception | None) -> None:
        """Let ``request`` work up to its next pass or chunks. A failure ends this request and no other."""
        try:
            if request.steps is None:
                request.steps = self._start(request)
            step = request.steps.throw(result) if isinstance(result, Exception) else request.steps.send(result)
        except StopIteration:
            self._finish(request)
        except DeviceFailed:
            raise
        except StarcoderError as error:
            self._finish(request, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other requests go on
            self._finish(request, self._translate(error))
        else:
            if isinstance(step, ForwardPass):
                request.next_pass = step
            elif step:
                request.output.put(step)

    def _finish(self, request: ScheduledRequest, error: StarcoderError | None = None) -> None:
        request.is_finished, request.next_pass = True, None
        if error is not None:
            request.output.put(error)
        self._on_finished(request)

    def _start(self, request: ScheduledRequest) -> Steps:
        if request.control_task is not None:
            return _run_control_task(request.control_task)
        queue_ms = (time.monotonic() - request.submitted_s) * 1000
        generation = RequestGeneration(request.request, self._state, request.adapter, request.interruption, queue_ms)
        return generation.prefill() if request.is_prefill else generation.generate()

    def _translate(self, error: Exception) -> EngineError:
        """The error that the client receives. Raises DeviceFailed."""
        self._handle(error)
        if not is_out_of_memory(error):
            _log.error("a request failed", exc_info=error)
            return EngineError(f"The model failed on this request ({type(error).__name__}). The log has the details.")
        return OutOfMemory("There was no room for this request. Lower `prompt_tokens`, or ask for fewer candidates.")


def _layers_key(request: ScheduledRequest) -> tuple[str, int] | None:
    """Whose layers its passes use; None is the base model's, also of adapters that only add virtual tokens."""
    return None if request.adapter is None else request.adapter.layers_key


def _is_same_document(request: ScheduledRequest, other: ScheduledRequest) -> bool:
    """Whether both would use the same slot of the prefix cache."""
    own, others = request.request, other.request
    return bool(own.document) and (own.client, own.document) == (others.client, others.document)


def _run_control_task(control_task: Callable[[], None]) -> Generator[tuple[Chunk, ...], Logits | None, None]:
    control_task()
    yield from ()
