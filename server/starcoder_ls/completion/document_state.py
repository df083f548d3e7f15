"""What runs on the engine for one document: at most one thing at a time.

Each state knows which changes of the text it survives. ``DocumentCompleter`` moves between the states.
"""

from __future__ import annotations

from dataclasses import dataclass

from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.completion.anchor import Anchor, CursorText
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.pending_generation import PendingGeneration


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing runs."""

    def survives(self, _cursor_text: CursorText) -> bool:
        return True

    def cancel(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Generating:
    """An answer to a request is generated; the request may have been withdrawn since."""

    generation: PendingGeneration

    def survives(self, cursor_text: CursorText) -> bool:
        """The change was to type what is generated."""
        self.generation.is_typed = bool(self.generation.count_typed(cursor_text))
        return self.generation.is_typed

    def cancel(self) -> None:
        self.generation.cancel()


@dataclass(frozen=True, slots=True)
class Prefilling:
    """The engine reads the prompt of a request that has not come yet."""

    cancel_flag: CancelFlag

    def survives(self, _cursor_text: CursorText) -> bool:
        return False

    def cancel(self) -> None:
        self.cancel_flag.set()


@dataclass(frozen=True, slots=True)
class PrefetchPlan:
    """What to prefetch: ``cursor`` is the document if ``suggestion``, shown at ``anchor``, is accepted."""

    anchor: Anchor
    suggestion: str
    cursor: Cursor

    def survives(self, cursor_text: CursorText, prefetched: str = "") -> bool:
        """The change was to type into the suggestion, or into the ``prefetched`` text after it."""
        return self.anchor.count_typed(cursor_text, self.suggestion + prefetched) is not None


@dataclass(frozen=True, slots=True)
class Prefetching:
    """The suggestion that follows the one on the screen is generated."""

    generation: PendingGeneration
    plan: PrefetchPlan

    def survives(self, cursor_text: CursorText) -> bool:
        return self.plan.survives(cursor_text, self.generation.text)

    def cancel(self) -> None:
        self.generation.cancel()


State = Idle | Generating | Prefilling | Prefetching
"""A request without a cached answer leads from any state to Generating. Prefilling starts from Idle only, Prefetching
from Idle or Prefilling. The end of what runs, and a change of the text that it does not survive, lead to Idle."""

IDLE = Idle()


def running_generation(state: State) -> PendingGeneration | None:
    """The generation that runs in ``state``; None if it is over or there is none."""
    if isinstance(state, Idle | Prefilling) or state.generation.is_over:
        return None
    return state.generation
