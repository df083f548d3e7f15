"""Which models fit this machine, how fast each would be, and with which quantization: the list that ``setup`` offers.

The time per token is computed: on a CPU and in small batches on a GPU a step reads all weights once, and takes as long
as that. docs/performance.md has measured steps; they reach 66 to 83 % of the bandwidth of a sum over memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from starcoder_ls import settings
from starcoder_ls.commands.support.machine import Machine
from starcoder_ls.commands.support.model_catalog import APACHE, CATALOG, CatalogModel

OVERHEAD_BYTES = 1e9
"""KV cache, activations, the libraries, and on a GPU the display."""

FAST_MS = 60.0
"""Per token: a suggestion of a dozen tokens in less than a second."""

_USABLE_MS = 250.0
"""A slower model has an answer within `inline_completion.budget_ms` of 3 s only for a word or two."""

_READ_SHARE = 0.7

_GPU_BITS = {"none": 16.0, "int8": 8.2, "torchao-int4": 4.5, "nf4": 4.2}
_CPU_BITS = {"none": 16.0, "int8": 8.5, "torchao-int4": 4.5}
_UNKNOWN_SPEED = ("int8", "nf4")
"""On a GPU: bitsandbytes does more than to read the weights."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A model as it would run on this machine. ``problem`` says why it cannot, else it is empty.

    ``ms_per_token`` is None where it is not known.
    """

    model: str
    quantization: str
    tasks: tuple[str, ...]
    adapter: str | None
    weights: float
    download_bytes: float
    memory_bytes: float
    ms_per_token: float | None
    licence: str
    is_gated: bool
    needs_account: bool
    is_downloaded: bool
    problem: str

    @property
    def is_slow(self) -> bool:
        return self.ms_per_token is not None and self.ms_per_token > FAST_MS

    @property
    def remarks(self) -> str:
        """What the user must know before choosing the model, in a few words."""
        remarks = [self.problem] if self.problem else []
        if self.model == settings.BUNDLED:
            remarks.append("tiny, knows some Python")
        elif "instruct" in self.tasks or self.adapter:
            remarks.append("actions")
        if self.needs_account:
            remarks.append("account")
        if self.is_slow:
            remarks.append("slow")
        return ", ".join(remarks)

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "quantization": self.quantization,
            "tasks": list(self.tasks),
            "adapter": self.adapter,
            "weights": round(self.weights),
            "downloadBytes": round(self.download_bytes),
            "memoryBytes": round(self.memory_bytes),
            "msPerToken": None if self.ms_per_token is None else round(self.ms_per_token, 1),
            "licence": self.licence,
            "gated": self.is_gated,
            "needsAccount": self.needs_account,
            "downloaded": self.is_downloaded,
            "problem": self.problem,
            "remarks": self.remarks,
        }


BUNDLED = Proposal(
    settings.BUNDLED, "none", ("completion",), None, 7e6, 0, 0.2e9, None, APACHE, False, False, True, ""
)  # fmt: skip


def propose(
    machine: Machine, packages: Iterable[str], has_account: bool, downloaded: Sequence[str] = ()
) -> list[Proposal]:
    """All models of the catalogue and the bundled one, the best choice first.

    First those that run here and need no account that the user lacks: of those that are fast enough the largest, then
    slower ones, the fastest first; then the bundled model; then those that need an account; then those that do not fit.
    ``packages`` are those of bitsandbytes and torchao that are installed.
    """
    names = _quantizations(machine.device, frozenset(packages))
    offered = [_propose_one(model, machine, names, has_account, model.name in downloaded) for model in CATALOG]
    return sorted([*offered, BUNDLED], key=_rank)


def describe_size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"


def memory_bytes(model: CatalogModel, device: str, quantization: str) -> float:
    """Memory that weights and the rest take. docs/adapters.md has the formula."""
    if device != "cpu":
        untied = 0 if model.is_tied else 2 * model.output
        return 2 * model.embeddings + untied + _GPU_BITS[quantization] / 8 * model.blocks + OVERHEAD_BYTES
    return 2 * model.embeddings + _read_bytes(model, device, quantization) + OVERHEAD_BYTES


def _read_bytes(model: CatalogModel, device: str, quantization: str) -> float:
    """Bytes that a step reads: the blocks and the output layer, which quantization leaves at 16 bits on a GPU and at 8
    bits or more on a CPU."""
    if device != "cpu":
        return 2 * model.output + _GPU_BITS[quantization] / 8 * model.blocks
    output_bits = 16.0 if quantization == "none" else 8.5
    return output_bits / 8 * model.output + _CPU_BITS[quantization] / 8 * model.blocks


def _quantizations(device: str, packages: frozenset[str]) -> list[str]:
    """In order of preference. On a CPU 8 bits cost next to nothing in quality and are faster; elsewhere 16 bits are."""
    if device == "cpu":
        return ["int8", "torchao-int4"]
    if device == "cuda":
        packaged = (("int8", "bitsandbytes"), ("torchao-int4", "torchao"), ("nf4", "bitsandbytes"))
        return ["none", *(name for name, package in packaged if package in packages)]
    return ["none"]


def _propose_one(
    model: CatalogModel, machine: Machine, quantizations: Sequence[str], has_account: bool, is_downloaded: bool
) -> Proposal:
    """With the first quantization that fits and is fast, else the fastest that fits, else the smallest."""

    def time_of(quantization: str) -> float | None:
        is_unknown = machine.device == "cuda" and quantization in _UNKNOWN_SPEED
        if is_unknown or not machine.bandwidth:
            return None
        return 1000 * _read_bytes(model, machine.device, quantization) / (machine.bandwidth * _READ_SHARE)

    fitting = [name for name in quantizations if memory_bytes(model, machine.device, name) <= machine.free_bytes]
    fast = [name for name in fitting if (time := time_of(name)) is None or time <= FAST_MS]
    fastest = min(fitting, key=lambda name: time_of(name) or 0.0, default=quantizations[-1])
    chosen = next(iter(fast), fastest)
    needed = memory_bytes(model, machine.device, chosen)
    problem = ""
    if needed > machine.free_bytes:
        problem = f"needs {describe_size(needed)} of memory"
    elif not is_downloaded and model.download_bytes > machine.free_disk_bytes:
        problem = f"needs {describe_size(model.download_bytes)} of disk"
    return Proposal(
        model.name,
        chosen,
        model.tasks,
        model.adapter,
        model.weights,
        model.download_bytes,
        needed,
        time_of(chosen),
        model.licence,
        model.is_gated,
        model.is_gated and not has_account and not is_downloaded,
        is_downloaded,
        problem,
    )


def _rank(proposal: Proposal) -> tuple[float, ...]:
    time = proposal.ms_per_token or 0.0
    if proposal.problem:
        group = 4.0
    elif proposal.needs_account:
        group = 3.0
    elif proposal.model == settings.BUNDLED:
        group = 2.0
    elif proposal.is_slow and time > _USABLE_MS:
        group = 2.5
    else:
        group = 1.0 if proposal.is_slow else 0.0
    return (group, time if proposal.is_slow else 0.0, -proposal.weights)
