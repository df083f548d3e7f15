"""The models that ``setup`` offers: what is known of each before anything is downloaded.

All are loaded by this server and fill in the middle. Sizes follow from the published configurations; licences, gates
and file sizes are those of the models' pages on the Hub, as known on CHECKED.
"""

from __future__ import annotations

from dataclasses import dataclass

CHECKED = "2026-11-28"
OPENRAIL = "BigCode OpenRAIL-M"
APACHE = "Apache-2.0"


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A model of the Hub.

    ``blocks`` are the values of the matrices in its layers, ``embeddings`` those of the embeddings, ``output`` those of
    the output layer, which is a part of the embeddings if ``is_tied``. ``download_bytes`` is the size of its weights.
    """

    name: str
    blocks: float
    embeddings: float
    output: float
    is_tied: bool
    download_bytes: float
    licence: str
    is_gated: bool = False
    tasks: tuple[str, ...] = ("completion",)
    adapter: str | None = None
    """An adapter on the Hub for the actions on code, in safetensors."""

    @property
    def weights(self) -> float:
        return self.blocks + self.embeddings + (0 if self.is_tied else self.output)


_BOTH = ("completion", "instruct")

# Qwen2.5-Coder: the technical report (arXiv 2409.12186), table 1. StarCoder2: arXiv 2402.19173, table 6.
# StarCoderBase: docs/adapters.md has the formula.
CATALOG = (
    CatalogModel(
        "Qwen/Qwen2.5-Coder-14B-Instruct", 13.2e9, 0.779e9, 0.779e9, False, 29.5e9, APACHE, tasks=_BOTH
    ),
    CatalogModel(
        "Qwen/Qwen2.5-Coder-7B-Instruct", 6.53e9, 0.545e9, 0.545e9, False, 15.2e9, APACHE, tasks=_BOTH
    ),
    CatalogModel(
        "Qwen/Qwen2.5-Coder-1.5B-Instruct", 1.31e9, 0.233e9, 0.233e9, True, 3.1e9, APACHE, tasks=_BOTH
    ),
    CatalogModel(
        "Qwen/Qwen2.5-Coder-0.5B-Instruct", 0.358e9, 0.136e9, 0.136e9, True, 1.0e9, APACHE, tasks=_BOTH
    ),
    CatalogModel("bigcode/starcoder2-15b", 15.35e9, 0.302e9, 0.302e9, False, 63.9e9, OPENRAIL),
    CatalogModel("bigcode/starcoder2-7b", 6.95e9, 0.226e9, 0.226e9, True, 14.4e9, OPENRAIL),
    CatalogModel("bigcode/starcoder2-3b", 2.88e9, 0.151e9, 0.151e9, True, 12.1e9, OPENRAIL),
    CatalogModel("bigcode/starcoderbase", 15.2e9, 0.352e9, 0.302e9, True, 63.3e9, OPENRAIL, is_gated=True),
    CatalogModel(
        "bigcode/starcoderbase-7b", 7.09e9, 0.235e9, 0.201e9, True, 29.3e9, OPENRAIL, is_gated=True,
        adapter="bigcode/astraios-7b-lora",
    ),
    CatalogModel(
        "bigcode/starcoderbase-3b", 2.88e9, 0.161e9, 0.138e9, True, 12.2e9, OPENRAIL, is_gated=True,
        adapter="bigcode/astraios-3b-lora",
    ),
    CatalogModel(
        "bigcode/starcoderbase-1b", 1.02e9, 0.117e9, 0.101e9, True, 4.6e9, OPENRAIL, is_gated=True,
        adapter="bigcode/astraios-1b-lora",
    ),
)  # fmt: skip


def find(name: str) -> CatalogModel | None:
    """The entry of a Hub id."""
    return next((model for model in CATALOG if model.name == name), None)


def is_catalog_adapter(path: str) -> bool:
    """Whether ``path`` is an adapter that ``setup`` writes beside a model."""
    return any(model.adapter == path for model in CATALOG)


def tasks_of(name: str) -> tuple[str, ...]:
    """What a model is used for: those of the catalogue, or by the usual word in the name of a chat-tuned model."""
    if known := find(name):
        return known.tasks
    return _BOTH if "instruct" in name.rsplit("/", 1)[-1].lower() else ("completion",)
