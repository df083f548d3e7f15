from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes import ScriptedEngine
from starcoder_ls.evaluation.history_replay import HistoryReplay, HistoryScore, changed_blocks
from starcoder_ls.generation import Phase
from starcoder_ls.learning.finetuning.commit_spans import CommitSpan
from starcoder_ls.next_edit.edit_route import EditRoute

COMMIT = frozenset({"<commit_before>", "<commit_msg>", "<commit_after>", "<filename>", "<reponame>"})
LINES = [f"value_{number} = {number}" for number in range(8)]
BEFORE = "\n".join(LINES)
AFTER = BEFORE.replace("= 1", "= 10").replace("= 3", "= 30").replace("= 6", "= 60")


def span_of(after: str, before: str = BEFORE) -> CommitSpan:
    return CommitSpan(Path("/code"), "app.py", "c0ffee", 5, "", "Multiply some values by ten", before, after)


SPAN = span_of(AFTER)


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    scripted = ScriptedEngine(load_steps=1)
    scripted.set_status(phase=Phase.READY, special_tokens=COMMIT)
    scripted.start()
    yield scripted
    scripted.close()


def replay(
    engine: ScriptedEngine, lines: list[str], span: CommitSpan = SPAN, with_subject: bool = False
) -> HistoryScore:
    engine.scripts = [[f"{line}\n" for line in lines]]
    score, replayed = HistoryScore(), HistoryReplay(engine, EditRoute("commit"), 0.5, clock=iter(range(100)).__next__)
    asyncio.run((replayed.replay_subject if with_subject else replayed.replay_next_edit)(span, score))
    return score


def test_other_changes_of_the_commit_are_correct(engine: ScriptedEngine) -> None:
    for expected in ("value_3 = 30", "value_6 = 60"):
        number = int(expected[6])
        score = replay(engine, [*LINES[2:number], expected, *LINES[number + 1 :]])
        assert (score.replayed, score.offered, score.correct) == (1, 1, 1)
        assert (score.wrong, score.reverted, score.seconds) == (0, 0, [1])
    prompt = engine.all_requests[0].parts
    assert (prompt[1], prompt[3]) == (BEFORE, "Change 1 to 10")
    assert str(prompt[5]).endswith("value_1 = 10\n")


def test_any_other_change_is_wrong_and_none_is_not_offered(engine: ScriptedEngine) -> None:
    score = replay(engine, [LINES[2], "value_3 = 31", *LINES[4:]])
    assert (score.offered, score.correct, score.wrong) == (1, 0, 1)
    assert score.confidences == [(1.0, False)]
    score = replay(engine, LINES[2:])
    assert (score.replayed, score.offered, score.wrong) == (1, 0, 0)


def test_subject_of_the_commit_is_given_without_an_edit(engine: ScriptedEngine) -> None:
    score = replay(engine, [LINES[0], "value_1 = 10", *LINES[2:]], with_subject=True)
    assert (score.replayed, score.correct) == (1, 1)
    prompt = engine.all_requests[0].parts
    assert prompt[1:4:2] == (BEFORE, SPAN.subject)


@pytest.mark.parametrize("after", [BEFORE, BEFORE.replace("= 1", "= 10")])
def test_change_without_a_second_stretch_is_not_replayed(engine: ScriptedEngine, after: str) -> None:
    assert replay(engine, LINES, span_of(after)).replayed == 0


def test_second_stretch_out_of_sight_is_not_replayed(engine: ScriptedEngine) -> None:
    before = "\n".join(f"n_{number} = {number}" for number in range(40))
    after = before.replace("n_1 = 1\n", "n_1 = 9\n").replace("n_30 = 30", "n_30 = 9")
    assert replay(engine, LINES, span_of(after, before)).replayed == 0


def test_blocks_are_the_stretches_that_differ() -> None:
    assert changed_blocks(list("abcdef"), list("aXcdYZf")) == [(1, 2, 1, 2), (4, 5, 4, 6)]
