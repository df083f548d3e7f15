import asyncio
import threading
from dataclasses import replace

import pytest

from fakes import ScriptedEngine
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.context.source_files import Source
from starcoder_ls.evaluation import score_card
from starcoder_ls.evaluation.holes import TEXT_KINDS
from starcoder_ls.generation import Phase
from starcoder_ls.settings import InlineCompletion

CODE = "".join(f"def function_{i}(value):\n    return value + {i}\n\n" for i in range(20))


def test_score_card_has_a_row_for_each_kind_and_completer() -> None:
    drawn = score_card.draw_holes([Source("pkg", "pkg/a.py", CODE)], 6, 0)
    engine = ScriptedEngine(scripts=[["return ", "value", " + 1", "\n"]], load_steps=0)
    is_ready = threading.Event()
    engine.subscribe(lambda status: is_ready.set() if status.phase is Phase.READY else None)
    engine.start()
    is_ready.wait()

    def with_adapter(cursor: Cursor) -> Cursor:
        return replace(cursor, adapter="house")

    async def complete() -> list[score_card.Row]:
        answers = score_card.complete_with_engine(engine, drawn, "scripted", InlineCompletion(), with_adapter)
        return [row async for row, done in answers if done]

    rows = asyncio.run(complete()) + score_card.complete_with_baselines(drawn)
    engine.close()
    assert {request.adapter for request in engine.requests} == {"house"}
    assert {(row.kind, row.completer) for row in rows} == {
        (kind, completer) for kind in TEXT_KINDS for completer in ("scripted", "empty answer", "copied line")
    }
    assert all(len(row.answers) == 6 for row in rows)
    empty = next(row for row in rows if row.completer == "empty answer")
    assert (empty.first_line_matches.value, empty.no_answer_share) == (0.0, 1.0)
    assert score_card.render_table(rows).count("\n") == 1 + len(rows)
    assert "return value + 1" in score_card.render_examples(rows, "scripted", 5)


def test_gold_answers_have_the_best_scores() -> None:
    drawn = score_card.draw_holes([Source("pkg", "pkg/a.py", CODE)], 5, 0)
    for kind, holes in drawn.items():
        row = score_card.Row(kind, "gold", [(hole, hole.middle) for hole in holes])
        assert (row.first_line_matches.value, row.similarity.value, row.no_answer_share) == (
            1.0,
            pytest.approx(1.0),
            0.0,
        )
