from __future__ import annotations

from starcoder_ls.session.engine_state import TRANSITIONS, EngineState


def test_every_state_but_closed_can_be_closed_and_is_reachable() -> None:
    assert set(TRANSITIONS) == set(EngineState)
    assert not TRANSITIONS[EngineState.CLOSED]
    assert all(EngineState.CLOSED in after for state, after in TRANSITIONS.items() if state is not EngineState.CLOSED)
    reachable = {state for after in TRANSITIONS.values() for state in after}
    assert reachable == set(EngineState) - {EngineState.NEW}
