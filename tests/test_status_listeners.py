from __future__ import annotations

from starcoder_ls.generation import Phase, Status
from starcoder_ls.status_listeners import StatusListeners


def test_listeners_get_each_status_once_until_they_unsubscribe() -> None:
    listeners, seen = StatusListeners(), list[Phase]()
    unsubscribe = listeners.subscribe(lambda status: seen.append(status.phase))
    for phase in (Phase.LOADING, Phase.READY, Phase.READY):
        listeners.notify(Status(phase))
    unsubscribe()
    unsubscribe()
    listeners.notify(Status(Phase.CLOSED))
    assert seen == [Phase.LOADING, Phase.READY]


def test_listener_that_raises_does_not_keep_others_from_the_status() -> None:
    listeners, seen = StatusListeners(), list[Status]()
    listeners.subscribe(lambda _: {}["missing"])
    listeners.subscribe(seen.append)
    listeners.notify(Status(Phase.READY))
    assert seen == [Status(Phase.READY)]
