"""The states of the engine supervisor and the transitions between them."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Set


class EngineState(enum.Enum):
    """What the supervisor is doing."""

    NEW = "new"
    """No client has chosen a model."""
    LOADING = "loading"
    """An engine is being made, or loads its model."""
    READY = "ready"
    """The engine answers requests."""
    ASLEEP = "asleep"
    """The model was unloaded after inactivity; the next request loads it."""
    FAILED = "failed"
    """The model could not be loaded, and none was before; the next client's ``start`` tries again. Also while the
    settings are invalid."""
    REBUILDING = "rebuilding"
    """An engine failed after a model had worked in this process; a timer starts another."""
    CLOSED = "closed"


TRANSITIONS: Mapping[EngineState, Set[EngineState]] = {
    EngineState.NEW: {EngineState.LOADING, EngineState.FAILED, EngineState.CLOSED},
    EngineState.LOADING: {EngineState.READY, EngineState.FAILED, EngineState.REBUILDING, EngineState.CLOSED},
    EngineState.READY: {EngineState.ASLEEP, EngineState.REBUILDING, EngineState.CLOSED},
    EngineState.ASLEEP: {EngineState.LOADING, EngineState.CLOSED},
    EngineState.FAILED: {EngineState.LOADING, EngineState.CLOSED},
    EngineState.REBUILDING: {EngineState.LOADING, EngineState.CLOSED},
    EngineState.CLOSED: set(),
}
