"""One cursor to its suggestions without caches or prefetching: for commands, measurements and scripts."""

from __future__ import annotations

from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.output.generated_answer import collect_answers
from starcoder_ls.completion.prompt.build_prompt import build_prompt
from starcoder_ls.completion.suggestion import Suggestion, build_suggestions
from starcoder_ls.generation import Engine
from starcoder_ls.settings import InlineCompletion


async def suggest(
    engine: Engine,
    cursor: Cursor,
    settings: InlineCompletion,
    candidates: int = 1,
    cancel: CancelFlag | None = None,
) -> list[Suggestion]:
    """Up to ``candidates`` different suggestions, the most likely first; none if nothing is worth showing.

    Cancelling the task, or setting ``cancel``, stops the generation.
    Raises EngineNotReady, EngineClosed, ModelUnsupported, PromptTooLong, OutOfMemory.
    """
    prompt = build_prompt(engine, cursor, settings)
    request = prompt.completion_request(settings, candidates, cancel=cancel)
    answers, timings = await collect_answers(engine, request, settings.min_confidence_for(cursor.language))
    if request.cancel.is_set():
        return []
    return build_suggestions(answers, timings, cursor, prompt.insertion_point)
