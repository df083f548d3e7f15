import asyncio

import pytest

from fakes import ScriptedEngine
from starcoder_ls.evaluation import score_card
from starcoder_ls.evaluation.holes import BY_TEXT
from starcoder_ls.generation import Phase
from starcoder_ls.learning.sources import Source
from starcoder_ls.settings import InlineCompletion

CODE = "".join(f"def function_{i}(value):\n    return value + {i}\n\n" for i in range(20))


def test_every_hole_gets_an_answer_or_silence_and_a_score() -> None:
    cut = score_card.drawn([Source("pkg", "pkg/a.py", CODE)], 6, 0)
    engine = ScriptedEngine(scripts=[["return ", "value", " + 1", "\n"]], load_steps=0)
    engine.start()
    while engine.status().phase is Phase.LOADING:
        pass

    async def filled() -> list[score_card.Row]:
        return [row async for row, done in score_card.by_engine(engine, cut, "scripted", InlineCompletion()) if done]

    rows = asyncio.run(filled()) + score_card.by_copying(cut)
    engine.close()
    assert {(row.kind, row.way) for row in rows} == {
        (kind, way) for kind in BY_TEXT for way in ("scripted", "empty answer", "copied line")
    }
    assert all(len(row.answers) == 6 for row in rows)
    empty = next(row for row in rows if row.way == "empty answer")
    assert (empty.matches.value, empty.silence) == (0.0, 1.0)
    assert score_card.table(rows).count("\n") == 1 + len(rows)
    assert "return value + 1" in score_card.examples(rows, "scripted", 5)


def test_gold_answers_score_everything() -> None:
    cut = score_card.drawn([Source("pkg", "pkg/a.py", CODE)], 5, 0)
    for kind, holes in cut.items():
        row = score_card.Row(kind, "gold", [(hole, hole.middle) for hole in holes])
        assert (row.matches.value, row.similarity.value, row.silence) == (1.0, pytest.approx(1.0), 0.0)
