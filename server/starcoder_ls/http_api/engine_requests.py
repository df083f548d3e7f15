"""From the body of an HTTP request to the request for the engine.

Decides which texts are a hole to fill and which a text to continue, which adapter answers, and when an answer ends.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.prompt import token_healing
from starcoder_ls.completion.prompt.build_prompt import build_prompt
from starcoder_ls.completion.prompt.families import find_family
from starcoder_ls.context.secrets import mask_secrets
from starcoder_ls.context.snippets import NO_CONTEXT, PromptContext, Snippet
from starcoder_ls.errors import ModelNotFound, ModelUnsupported
from starcoder_ls.generation import Engine, PromptPart, Request, Sampling, SpecialToken, Status
from starcoder_ls.http_api.bodies import CompletionsBody, ExtraFile, InfillBody
from starcoder_ls.http_api.generation_time_limit import with_time_limit
from starcoder_ls.http_api.rendered_prompt import parse_rendered_prompt
from starcoder_ls.session.workspace_context import snippet_token_budget
from starcoder_ls.settings import Settings

MAX_ANSWER_S = 120.0
_DEFAULT_INFILL_TOKENS = 128
_CLIENT = "http"


def completions_request(engine: Engine, settings: Settings, body: CompletionsBody, session: str) -> Request:
    """The request for ``/v1/completions``; it tokenizes, so call it outside of an event loop.

    ``session`` identifies the client's document, so that its prompt is found in the prefix cache.
    Raises ModelNotFound for an unknown ``model``, and what ``build_prompt`` raises.
    """
    adapter = adapter_of(engine.status(), body.model)
    sampling = Sampling(body.temperature, body.top_p, body.seed or 0)
    rendered = parse_rendered_prompt(body.prompt) if body.suffix is None else None
    if rendered is not None:
        prefix, suffix = rendered.prefix, rendered.suffix
    elif body.suffix is not None:
        prefix, suffix = body.prompt, body.suffix
    else:
        return dataclasses.replace(
            _continuation(engine, body.prompt, body.max_tokens),
            adapter=adapter, document=session, candidates=body.n, sampling=sampling,
        )  # fmt: skip
    request = _fill_in(engine, settings, Cursor(
        prefix + suffix, len(prefix), body.language, body.path, session, _CLIENT, adapter
    ), body.max_tokens, body.stop_rules)  # fmt: skip
    return dataclasses.replace(request, candidates=body.n, sampling=sampling)


def infill_request(engine: Engine, settings: Settings, body: InfillBody, session: str) -> Request:
    """The request for ``/infill``; it tokenizes. It ends where a suggestion in an editor would.

    Raises what ``build_prompt`` raises.
    """
    prefix = body.input_prefix + body.prompt
    tokens = _DEFAULT_INFILL_TOKENS if body.n_predict < 0 else body.n_predict
    context = _context(body.input_extra, snippet_token_budget(settings.context, engine.status()), engine)
    cursor = Cursor(prefix + body.input_suffix, len(prefix), "", "", session, _CLIENT, None, context)
    request = _fill_in(engine, settings, cursor, tokens, ends_like_suggestions=True)
    if body.t_max_predict_ms:
        stop = with_time_limit(request.stop, body.t_max_predict_ms / 1000)
        request = dataclasses.replace(request, stop=stop)
    return request


def adapter_of(status: Status, model: str | None) -> str | None:
    """The adapter that ``model`` names; None for the base. Raises ModelNotFound if nothing loaded has this name."""
    if model in (None, "", status.model):
        return None
    names = [adapter.name for adapter in status.adapters]
    if model in names:
        return model
    raise ModelNotFound(f"There is no model {model!r} here. Loaded: {', '.join([status.model, *names])}.")


def _fill_in(
    engine: Engine, settings: Settings, cursor: Cursor, max_new_tokens: int, ends_like_suggestions: bool
) -> Request:
    options = settings.inline_completion.model_copy(update={"max_new_tokens": max(max_new_tokens, 1)})
    request = build_prompt(engine, cursor, options).completion_request(options)
    return dataclasses.replace(
        request,
        max_new_tokens=max_new_tokens,
        stop=request.stop if ends_like_suggestions else None,
        deadline_s=time.monotonic() + MAX_ANSWER_S,
    )


def _continuation(engine: Engine, text: str, max_new_tokens: int) -> Request:
    """``text`` as the beginning of a document that the model continues."""
    status = engine.status()
    text, forced_prefix = token_healing.split_unfinished_word(text) if status.capabilities.forced_prefix else (text, "")
    parts: tuple[PromptPart, ...] = (mask_secrets(text),) if text else ()
    ends: tuple[SpecialToken, ...] = ()
    try:
        family = find_family(status.special_tokens)
    except ModelUnsupported:  # a model that cannot fill in continues text all the same
        pass
    else:
        parts = (SpecialToken(family.start), *parts) if family.start else parts
        ends = tuple(SpecialToken(literal) for literal in family.end_tokens if literal in status.special_tokens)
    return Request(
        parts=parts,
        max_new_tokens=max_new_tokens,
        prefix_parts=(len(parts) - 1,) if text else (),
        forced_prefix=forced_prefix,
        end_tokens=ends,
        client=_CLIENT,
        deadline_s=time.monotonic() + MAX_ANSWER_S,
    )


def _context(files: Sequence[ExtraFile], budget: int, engine: Engine) -> PromptContext:
    """The last of ``files``, which clients send most useful last, as far as they fit into ``budget`` tokens."""
    snippets: list[Snippet] = []
    spent = 0
    for file in reversed(files):
        tokens = engine.count_tokens(file.text) + engine.count_tokens(file.filename) + 4
        if spent + tokens > budget:
            break
        spent += tokens
        snippets.insert(0, Snippet(file.filename or "untitled", mask_secrets(file.text)))
    lookup = tuple(mask_secrets(file.text) for file in files)
    return PromptContext(tuple(snippets), spent, lookup) if files else NO_CONTEXT
