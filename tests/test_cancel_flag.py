from __future__ import annotations

import threading
from functools import partial

from starcoder_ls.cancel_flag import CancelFlag


def test_callback_runs_once_in_the_thread_that_sets_the_flag() -> None:
    flag, threads = CancelFlag(), []
    flag.on_set(lambda: threads.append(threading.current_thread().name))
    setter = threading.Thread(target=flag.set, name="setter")
    setter.start()
    setter.join()
    flag.set()
    assert (flag.is_set(), threads) == (True, ["setter"])


def test_callback_for_a_flag_that_is_set_runs_at_once() -> None:
    flag, calls = CancelFlag(), []
    flag.set()
    flag.on_set(lambda: calls.append(1))
    assert calls == [1]


def test_unregistered_callback_is_not_called() -> None:
    flag, calls = CancelFlag(), []
    unregister = flag.on_set(lambda: calls.append("removed"))
    flag.on_set(lambda: calls.append("kept"))
    unregister()
    flag.set()
    unregister()
    assert calls == ["kept"]


def test_flag_set_while_callbacks_register_reaches_each_of_them() -> None:
    for _ in range(50):
        flag, calls = CancelFlag(), list[int]()
        setter = threading.Thread(target=flag.set)
        setter.start()
        for number in range(20):
            flag.on_set(partial(calls.append, number))
        setter.join()
        assert sorted(calls) == list(range(20))
