from __future__ import annotations

import asyncio
from typing import Any

import pytest

from starcoder_ls.errors import EngineError, ModelNotFound, ModelUnsupported
from starcoder_ls.remote.dialects.detection import read_facts
from starcoder_ls.remote.dialects.dialect import ServerFacts

VLLM = [
    {"id": "coder", "owned_by": "vllm", "root": "/models/coder", "parent": None, "max_model_len": 8192},
    {"id": "style", "owned_by": "vllm", "root": "/adapters/style", "parent": "coder"},
]
LLAMA = [{"id": "coder.gguf", "aliases": ["coder"], "owned_by": "llamacpp",
          "meta": {"n_vocab": 49152, "n_ctx": 2048, "n_ctx_train": 8192}}]  # fmt: skip
LORA = [{"id": 1, "path": "/adapters/tests.gguf", "scale": 1.0}, {"id": 0, "path": "style-f16.gguf", "scale": 0.0}]


def facts(models: Any, *options: str, adapters: Any = LORA) -> ServerFacts:
    async def read_json(path: str) -> Any:
        return {"/v1/models": {"data": models}, "/lora-adapters": adapters}[path]

    return asyncio.run(read_facts(read_json, *options))


def test_vllm_lists_its_adapters_as_models_with_a_parent() -> None:
    found = facts(VLLM)
    assert (found.dialect.name, found.model, found.context_tokens, found.adapters) == (
        "vLLM",
        "coder",
        8192,
        ("style",),
    )


def test_llama_cpp_lists_its_adapters_by_file_in_the_order_of_their_ids() -> None:
    found = facts(LLAMA)
    assert (found.dialect.name, found.model, found.context_tokens) == ("llama.cpp", "coder.gguf", 2048)
    assert (found.adapters, found.vocabulary_size) == (("style-f16", "tests"), 49152)


def test_model_is_found_by_name_or_alias_and_else_named_in_the_error() -> None:
    assert facts(LLAMA, "auto", "coder").model == "coder.gguf"
    with pytest.raises(ModelNotFound, match=r"no model other; it has: coder\.gguf"):
        facts(LLAMA, "auto", "other")
    with pytest.raises(ModelNotFound, match="no model style"):
        facts(VLLM, "auto", "style")  # an adapter is no model


def test_other_server_is_used_only_if_the_settings_name_its_dialect() -> None:
    other = [{**VLLM[0], "owned_by": "gateway\x1b[0m"}]
    with pytest.raises(ModelUnsupported, match=r"gateway\\x1b"):
        facts(other)
    assert facts(other, "vllm").dialect.name == "vLLM"


@pytest.mark.parametrize(
    "models", [5, [5], [{}], [{"id": "a", "owned_by": "vllm"}], [{"id": "a", "owned_by": "llamacpp"}]]
)
def test_list_of_another_format_is_an_error(models: Any) -> None:
    with pytest.raises(EngineError, match="format"):
        facts(models)
