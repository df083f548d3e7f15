"""Which dialect a server speaks, and what it says about its model, its context and its adapters.

`/v1/models` names the kind of server. Other servers are taken for vLLM, whose API is OpenAI's, only if the
settings say so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from starcoder_ls.errors import EngineError, ModelNotFound, ModelUnsupported
from starcoder_ls.json_files import printable
from starcoder_ls.remote.dialects.dialect import Dialect, ServerFacts
from starcoder_ls.remote.dialects.llama_cpp import LlamaCppDialect
from starcoder_ls.remote.dialects.vllm import StarcoderLsDialect, VllmDialect

DIALECTS: Mapping[str, Dialect] = {
    "vllm": VllmDialect(), "llama.cpp": LlamaCppDialect(), "starcoder-ls": StarcoderLsDialect(),
}  # fmt: skip
_OWNERS = {"vllm": "vllm", "llamacpp": "llama.cpp", "starcoder-ls": "starcoder-ls"}
MODELS, ADAPTERS = "/v1/models", "/lora-adapters"

ReadJson = Callable[[str], Awaitable[Any]]
"""Reads the JSON at a path of the server. Raises EngineError."""


async def read_facts(read_json: ReadJson, dialect: str = "auto", model: str = "") -> ServerFacts:
    """The facts of a server. ``dialect`` and ``model`` are those of the settings; `auto` and "" leave it.

    Raises ModelUnsupported for another kind of server, ModelNotFound if it does not have ``model``, and EngineError.
    """
    answer = await read_json(MODELS)
    try:
        entries = [dict(entry) for entry in answer["data"]]
        names = [str(entry["id"]) for entry in entries]
        owner = str(entries[0].get("owned_by", "")) if entries else ""
        kind = _OWNERS.get(owner, "") if dialect == "auto" else dialect
        if kind not in DIALECTS:
            raise ModelUnsupported(
                f"The server is neither vLLM nor llama.cpp: it calls itself {printable(owner) or 'nothing'}. If it has "
                "vLLM's API with token ids, set `remote.dialect` to vllm."
            )
        bases = [entry for entry in entries if not entry.get("parent")]
        chosen = next((entry for entry in bases if not model or model in (entry["id"], *_aliases(entry))), None)
        if chosen is None:  # llama.cpp would answer for any name
            known = ", ".join(printable(name) for name in names) or "none"
            raise ModelNotFound(f"The server has no model {printable(model)}; it has: {known}. Correct `remote.model`.")
        if kind == "llama.cpp":
            return _llama_facts(chosen, await read_json(ADAPTERS))
        return _vllm_facts(DIALECTS[kind], chosen, entries)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EngineError("The server's list of models has another format than that of vLLM or llama.cpp.") from error


def _vllm_facts(dialect: Dialect, chosen: Mapping[str, Any], entries: list[dict[str, Any]]) -> ServerFacts:
    model = str(chosen["id"])
    parents = {model, chosen.get("root") or model}
    adapters = tuple(str(entry["id"]) for entry in entries if entry.get("parent") in parents)
    return ServerFacts(dialect, model, int(chosen["max_model_len"]), adapters)


def _llama_facts(chosen: Mapping[str, Any], adapters: Any) -> ServerFacts:
    """An adapter is known by the name of its file, in the order of the server's ids."""
    meta = chosen["meta"]
    context_tokens = int(meta.get("n_ctx") or meta["n_ctx_train"])
    names = tuple(PurePosixPath(str(entry["path"])).stem for entry in sorted(adapters, key=lambda entry: entry["id"]))
    return ServerFacts(DIALECTS["llama.cpp"], str(chosen["id"]), context_tokens, names, int(meta.get("n_vocab") or 0))


def _aliases(entry: Mapping[str, Any]) -> list[str]:
    return [str(alias) for alias in entry.get("aliases") or ()]
