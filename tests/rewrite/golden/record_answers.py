"""Records the answers that test_recorded_answers.py replays, those that are missing: `record_answers.py MODEL`.

MODEL is the folder of a chat-tuned checkpoint, whose weights are read in 8 bits. Run it with PYTHONPATH=tests. An
answer takes up to a minute.
"""

from __future__ import annotations

import asyncio
import json
import sys

from test_recorded_answers import CASES, DATA, FUNCTIONS, target_of

from starcoder_ls.commands.support.engine_factory import loaded_engine
from starcoder_ls.generation import Engine
from starcoder_ls.rewrite import perform_action
from starcoder_ls.settings import Settings

FILE = DATA / "answers.json"


async def record(engine: Engine, settings: Settings) -> None:
    answers = json.loads(FILE.read_text(encoding="utf-8"))
    for key in [f"{name}/{action}" for action in CASES["actions"] for name in FUNCTIONS]:
        if key not in answers:
            name, action = key.split("/")
            prepared = perform_action.prepare_action(settings, engine, action, target_of(FUNCTIONS[name], action))
            *_, answer = [answer async for answer in perform_action.stream_answer(engine, prepared.prompt)]
            answers[key] = {"text": answer.text, "is_cut": answer.is_cut}
            FILE.write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    model = {"name": sys.argv[1], "tasks": ["completion", "instruct"], "quantization": "int8", "threads": 1}
    chosen = Settings.model_validate({"model": model})
    with loaded_engine(chosen) as engine:
        asyncio.run(record(engine, chosen))
