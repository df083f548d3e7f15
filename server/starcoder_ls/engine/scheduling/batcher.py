"""One round: a pass of the model for the request whose turn it is, and for all others that can share it.

Decides which passes run as one, who begins, and what a failure ends. Refuses to know how a pass is made, and who comes
first: that is ``schedule``'s.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, cast

from starcoder_ls.engine.device_errors import has_device_failed
from starcoder_ls.engine.generation import request_generation
from starcoder_ls.engine.generation.prompt_lookup import LONGEST
from starcoder_ls.engine.memory import give_back, is_out_of_memory
from starcoder_ls.engine.runner import model_forward
from starcoder_ls.engine.runner.forward_pass import ForwardPass, Work, run, run_together
from starcoder_ls.engine.runner.logits import Logits
from starcoder_ls.engine.runner.threads import single_threaded
from starcoder_ls.errors import DeviceFailed, EngineError, OutOfMemory, StarcoderError
from starcoder_ls.generation import Chunk

if TYPE_CHECKING:
    from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter
    from starcoder_ls.engine.kv_cache.prefix_cache import PrefixCache
    from starcoder_ls.engine.loading.load_model import Loaded
    from starcoder_ls.engine.scheduling.request_queue import RequestQueue, ScheduledRequest

_log = logging.getLogger(__name__)

SHORT_TOKENS = 1 + LONGEST
"""A pass over more, a chunk of a prompt, is work enough to run alone."""

MOST_TOKENS = 64
"""In one round, and no more than a chunk of a prompt, for which a keystroke may wait: beyond, the arithmetic of a token
costs what it would cost alone, and a round only gets longer."""

MOST_BEGUN = 16
"""Requests that hold a slot at the same time, so far as it can be helped: those that wait need no memory."""


_SEEN = "is_seen"
"""Written on an error: to remember the error itself would keep alive what the failed pass had in hand."""


class Batcher:
    """The rounds of one model, in the engine's thread. ``ended`` is told of each job that is over."""

    def __init__(
        self, jobs: RequestQueue, loaded: Loaded, slots: PrefixCache, ended: Callable[[ScheduledRequest], None]
    ) -> None:
        self._jobs, self._loaded, self._slots, self._ended = jobs, loaded, slots, ended
        self._can_share = model_forward.can_read_together(loaded.model)
        self._room = max(SHORT_TOKENS, min(MOST_TOKENS, loaded.chunk_tokens))
        self._served = 0

    def play(self, leader: ScheduledRequest) -> None:
        """Bring ``leader`` one pass further, or to its end; along with it whoever can share the pass."""
        wanted = self._next_pass(leader)
        if wanted is None:
            return
        group = [(leader, wanted)]
        if self._can_share and wanted.tokens <= SHORT_TOKENS:
            group += self._companions(leader, self._room - wanted.tokens)
        self._slots.record.sequences = len(group)
        self._loaded.adapters.activate(_held(leader))
        answers = self._answers([wanted for _, wanted in group])
        for (job, _), answer in zip(group, answers, strict=True):
            self._served += 1
            job.wanted, job.served = None, self._served
            self._resume(job, answer)

    def _companions(self, leader: ScheduledRequest, room: int) -> list[tuple[ScheduledRequest, ForwardPass]]:
        """Those whose next pass can be part of the leader's. One that has more to read gets the next turn for it."""
        group: list[tuple[ScheduledRequest, ForwardPass]] = []
        reader: ScheduledRequest | None = None
        others = [job for job in self._jobs.equals(leader) if _layers(job) == _layers(leader)]
        begun = [leader, *(job for job in others if job.work is not None)]
        for job in others:
            if job.work is None:
                if len(begun) >= MOST_BEGUN or any(_is_same_document(job, other) for other in begun):
                    continue  # a slot of its own would have all of the prompt to read
                begun.append(job)
            wanted = self._next_pass(job)
            if wanted is None:
                continue
            if wanted.tokens > SHORT_TOKENS:
                reader = job if reader is None or job.is_reading else reader
            elif wanted.tokens <= room:
                room -= wanted.tokens
                group.append((job, wanted))
        if reader is not None:
            reader.is_reading = True
            self._jobs.give_turn(reader)
        return group

    def _next_pass(self, job: ScheduledRequest) -> ForwardPass | None:
        """The pass that ``job`` waits for; None where it came to its end without one."""
        while not job.is_over:
            if job.wanted is None:
                self._resume(job, None)
            elif job.interrupted() is not None:
                job.wanted = None
                self._resume(job, None)  # not run: it says that it was interrupted
            else:
                return cast("ForwardPass", job.wanted)
        return None

    def _answers(self, passes: list[ForwardPass]) -> list[Logits | Exception]:
        """Of each, the logits or why there are none: what fails together is tried one by one.

        Raises DeviceFailed.
        """
        starts = [wanted.cache.length for wanted in passes]
        if len(passes) > 1:
            try:
                return list(run_together(self._loaded.model, passes))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is nearly always the fault of one
                self._look_at(error)
                _log.debug("a pass of %d failed", len(passes), exc_info=True)
        answers: list[Logits | Exception] = []
        for wanted, start in zip(passes, starts, strict=True):
            answer = self._alone(wanted, start)
            if isinstance(answer, Exception) and is_out_of_memory(answer):
                answer = self._alone(wanted, start)  # there is more room now
            answers.append(answer)
        return answers

    def _alone(self, wanted: ForwardPass, start: int) -> Logits | Exception:
        wanted.cache.truncate(start)
        try:
            return run(self._loaded.model, wanted)
        except Exception as error:  # noqa: BLE001 - the others go on
            self._look_at(error)
            return error

    def _look_at(self, error: Exception) -> None:
        """Where there was no room, less is done at once and less is kept from here on. Raises DeviceFailed."""
        if _SEEN in vars(error):
            return
        vars(error)[_SEEN] = True
        if has_device_failed(error):
            _log.error("the device failed", exc_info=error)
            name = type(error).__name__
            raise DeviceFailed(f"The device has failed ({name}). The model is loaded again; ask once more.") from error
        if is_out_of_memory(error):
            self._room = max(SHORT_TOKENS, self._room // 2)
            self._slots.shrink()
            if self._loaded.graphs is not None:
                self._loaded.graphs.drop("a pass found no room")
            give_back()
            _log.warning("no room: passes of at most %d tokens from here on, and fewer cached prefixes", self._room)

    def _resume(self, job: ScheduledRequest, answer: Logits | Exception | None) -> None:
        """Let ``job`` work up to its next pass or chunks. A failure ends this job and no other."""
        try:
            if job.work is None:
                job.work = self._begun(job)
            with single_threaded():
                made = job.work.throw(answer) if isinstance(answer, Exception) else job.work.send(answer)
        except StopIteration:
            self._end(job)
        except DeviceFailed:
            raise
        except StarcoderError as error:
            self._end(job, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other requests go on
            self._end(job, self._translated(error))
        else:
            if isinstance(made, ForwardPass):
                job.wanted = made
            elif made:
                job.outlet.put(made)

    def _end(self, job: ScheduledRequest, error: StarcoderError | None = None) -> None:
        job.is_over, job.wanted = True, None
        if error is not None:
            job.outlet.put(error)
        self._ended(job)

    def _begun(self, job: ScheduledRequest) -> Work:
        if job.errand is not None:
            return _run_once(job.errand)
        held = _held(job)
        if job.is_prefill:
            return request_generation.reading(job.request, self._loaded, self._slots, job.interrupted, held)
        queue_ms = (time.monotonic() - job.submitted_s) * 1000
        return request_generation.answering(job.request, self._loaded, self._slots, job.interrupted, queue_ms, held)

    def _translated(self, error: Exception) -> EngineError:
        """For the one who asked. Raises DeviceFailed."""
        self._look_at(error)
        if not is_out_of_memory(error):
            _log.error("a request failed", exc_info=error)
            return EngineError(f"The model failed on this request ({type(error).__name__}). The log has the details.")
        return OutOfMemory("There was no room for this request. Lower `prompt_tokens`, or ask for fewer candidates.")


def _held(job: ScheduledRequest) -> ResidentAdapter | None:
    return cast("ResidentAdapter | None", job.adapter)


def _layers(job: ScheduledRequest) -> tuple[str, int] | None:
    """Whose layers its passes go through. Virtual tokens are no layers: they lie in the cache of whoever uses them."""
    held = _held(job)
    return None if held is None or not held.sites else held.key


def _is_same_document(job: ScheduledRequest, other: ScheduledRequest) -> bool:
    """They would want the same slot."""
    mine, its = job.request, other.request
    return bool(mine.document) and (mine.client, mine.document) == (its.client, its.document)


def _run_once(errand: Callable[[], None]) -> Generator[tuple[Chunk, ...], Logits | None, None]:
    errand()
    yield from ()
