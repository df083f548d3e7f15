"""From a request to the calls that a server gets: the prompt as ids, checked against the model's context."""

from __future__ import annotations

from collections.abc import Mapping

from starcoder_ls.errors import PromptTooLong
from starcoder_ls.generation import Request
from starcoder_ls.remote.answer_assembly import AnswerAssembly
from starcoder_ls.remote.dialects.dialect import Call, PromptIds
from starcoder_ls.remote.handshake import ServerModel
from starcoder_ls.remote.remote_generation import RemoteGeneration
from starcoder_ls.remote.server_connection import ServerConnection


def generation(
    request: Request, model: ServerModel, connection: ServerConnection, headers: Mapping[str, str]
) -> RemoteGeneration:
    """The generation of ``request``, not started. Raises PromptTooLong, ModelUnsupported, AdapterInvalid."""
    prompt = prompt_ids(request, model)
    dialect, tokenizer = model.facts.dialect, model.source.tokenizer
    calls = dialect.calls(prompt, model.facts) if request.max_new_tokens > 0 else []
    assembly = AnswerAssembly(request, tokenizer, prompt.end_ids, len(prompt.ids))
    return RemoteGeneration(request, calls, dialect, assembly, connection, headers)


def prefill_call(request: Request, model: ServerModel) -> Call:
    """The call that lets the server read the prompt. Raises PromptTooLong, ModelUnsupported, AdapterInvalid."""
    return model.facts.dialect.prefill_call(prompt_ids(request, model), model.facts)


def prompt_ids(request: Request, model: ServerModel) -> PromptIds:
    """The prompt of ``request`` as ids, and the ids that end its answers.

    Servers shorten an answer that does not fit the context without saying so, so this is checked here. Raises
    PromptTooLong, and ModelUnsupported for a special token that the model lacks.
    """
    tokenizer, context_tokens = model.source.tokenizer, model.facts.context_tokens
    end_ids = model.source.end_ids | {tokenizer.special_token_id(token) for token in request.end_tokens}
    ids = tokenizer.encode(request.parts) or [min(end_ids, default=0)]  # a model needs a token to continue
    if len(ids) + request.max_new_tokens > context_tokens:
        raise PromptTooLong(
            f"The prompt of {len(ids):,} tokens and {request.max_new_tokens:,} new ones exceed the context of "
            f"{context_tokens:,} that the server has. Shorten the prompt."
        )
    return PromptIds(request, ids, end_ids)
