from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.completion.anchor import Anchor, CursorText
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.document_state import IDLE, PrefetchPlan, Prefilling

CHANGED = CursorText("x = ab", "\n")


def test_idle_survives_every_change() -> None:
    assert IDLE.survives(CHANGED)
    IDLE.cancel()


def test_prefill_survives_no_change_and_is_cancelled_by_its_flag() -> None:
    flag = CancelFlag()
    state = Prefilling(flag)
    assert not state.survives(CHANGED)
    state.cancel()
    assert flag.is_set()


def test_prefetch_plan_survives_typing_into_suggestion_or_prefetched_text() -> None:
    anchor = Anchor("x = ", "\n", has_document_start=True, has_document_end=True)
    plan = PrefetchPlan(anchor, "a", Cursor("x = a\n", 5))
    assert plan.survives(CursorText("x = a", "\n"))
    assert not plan.survives(CHANGED)
    assert plan.survives(CHANGED, prefetched="b + c")
