from harness import async_test
from starcoder_ls.completion.timer import Timer
from stepped_engine import ManualClock


@async_test
async def test_restarted_timer_makes_only_the_last_call() -> None:
    clock, calls = ManualClock(), []
    timer = Timer(clock.schedule)
    timer.start(1, lambda: calls.append("first"))
    await clock.advance(0.9)
    timer.start(1, lambda: calls.append("second"))
    await clock.advance(0.9)
    assert calls == []
    await clock.advance(0.1)
    assert calls == ["second"]


@async_test
async def test_cancelled_timer_makes_no_call() -> None:
    clock, calls = ManualClock(), []
    timer = Timer(clock.schedule)
    timer.cancel()
    timer.start(1, lambda: calls.append("call"))
    timer.cancel()
    await clock.advance(2)
    assert calls == []
