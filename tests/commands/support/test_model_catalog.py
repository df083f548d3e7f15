from __future__ import annotations

import pytest

from starcoder_ls.commands.support import model_catalog
from starcoder_ls.commands.support.model_catalog import CATALOG


@pytest.mark.parametrize("model", CATALOG, ids=lambda model: model.name)
def test_entry_is_consistent(model: model_catalog.CatalogModel) -> None:
    """A checkpoint has two or four bytes for each weight; the name has their number in billions."""
    assert round(model.download_bytes / model.weights) in (2, 4)
    stated = next(
        (part[:-1] for part in model.name.lower().split("-") if part.endswith("b") and part[0].isdigit()), "15"
    )
    assert abs(model.weights / 1e9 - float(stated)) < 0.15 * float(stated)
    assert model.adapter is None or model.adapter.startswith("bigcode/astraios")


def test_tasks_of_a_chat_tuned_model_include_actions() -> None:
    assert model_catalog.tasks_of("Qwen/Qwen2.5-Coder-7B-Instruct") == ("completion", "instruct")
    assert model_catalog.tasks_of("/models/our-Instruct-3b") == ("completion", "instruct")
    assert model_catalog.tasks_of("/instruct/base") == ("completion",)
    assert model_catalog.tasks_of("bigcode/starcoder2-3b") == ("completion",)


def test_adapters_of_the_catalogue_are_known() -> None:
    assert model_catalog.is_catalog_adapter("bigcode/astraios-1b-lora")
    assert not model_catalog.is_catalog_adapter("/models/our-style")
