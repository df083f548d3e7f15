"""The adapters that are resident beside one base, and which of them its layers go through now.

Decides what fits the base and what a switch costs: a few dictionary entries per layer, the weights stay where they
are. Used by the engine's thread alone, but for ``prepare`` and ``named``. Refuses to know requests.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from starcoder_ls.engine.adapters import config, files, fit, peft_compat, virtual_tokens
from starcoder_ls.engine.adapters.files import Files
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.engine.loading.progress import Report
from starcoder_ls.engine.memory import is_out_of_memory
from starcoder_ls.errors import AdapterInvalid, OutOfMemory
from starcoder_ls.generation import AdapterStatus
from starcoder_ls.settings import Adapter

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An adapter read from its files and checked as far as that goes without a model."""

    source: str
    files: Files
    tensors: Mapping[str, torch.Tensor]


def prepare(wanted: Adapter, offline: bool, report: Report) -> Prepared:
    """From any thread: what takes a disk or a network. Raises ModelError."""
    found = files.find(wanted, offline, report)
    tensors = files.tensors(found)
    fit.require_own_weights(found, tensors)
    return Prepared(wanted.source, found, tensors)


@dataclass(frozen=True, slots=True, eq=False)
class ResidentAdapter:
    """One resident adapter. A request keeps hold of it, so that it lives on where its name is gone or another's."""

    name: str
    generation: int
    kind: str
    source: str
    sites: tuple[peft_compat.Site, ...]
    prompt: virtual_tokens.VirtualTokens | None
    bytes: int

    @property
    def key(self) -> tuple[str, int]:
        """Whose keys and values a cache holds: never the same for two adapters, nor after one is attached again."""
        return self.name, self.generation

    @property
    def virtual_tokens(self) -> int:
        return 0 if self.prompt is None else self.prompt.count

    def status(self) -> AdapterStatus:
        return AdapterStatus(self.name, self.kind, self.source, self.bytes, self.virtual_tokens)


class ResidentAdapters:
    """All of them. Layers of an adapter wrap the base's own; neither is changed when the other is in use."""

    def __init__(self, model: Any, checkpoint: Checkpoint, model_name: str = "", quantization: str = "none") -> None:
        self._model = model
        self._checkpoint = checkpoint
        self._model_name = model_name or checkpoint.folder.name
        self._quantization = quantization
        self._generations = itertools.count(1)
        self._by_name: dict[str, ResidentAdapter] = {}
        self._active: ResidentAdapter | None = None

    def __iter__(self) -> Iterator[ResidentAdapter]:
        return iter(tuple(self._by_name.values()))

    @property
    def bytes(self) -> int:
        return sum(held.bytes for held in self)

    @property
    def keys(self) -> frozenset[tuple[str, int] | None]:
        """Of all that a cache may be kept for; None is the base."""
        return frozenset({None, *(held.key for held in self)})

    @property
    def layers(self) -> tuple[str, int] | None:
        """The key of the adapter whose layers passes go through now; None is the base's own, also behind virtual
        tokens."""
        return None if self._active is None or not self._active.sites else self._active.key

    def statuses(self) -> tuple[AdapterStatus, ...]:
        return tuple(held.status() for held in self)

    def named(self, name: str | None) -> ResidentAdapter | None:
        """The adapter of that name; None is the base alone. Raises AdapterInvalid."""
        if name is None:
            return None
        held = self._by_name.get(name)
        if held is None:
            there = ", ".join(self._by_name) or "none"
            raise AdapterInvalid(f"No adapter {name} is loaded; there is {there}. Add it under `[adapters.{name}]`.")
        return held

    def activate(self, held: ResidentAdapter | None) -> None:
        """Let the model's layers go through ``held``'s, or through none."""
        if held is self._active:
            return
        if self._active is not None:
            for site in self._active.sites:
                site.parent._modules[site.child] = site.original
        if held is not None:
            for site in held.sites:
                site.parent._modules[site.child] = site.adapted
        self._active = held
        if (reader := self._model.__dict__.get("lean")) is not None:
            reader.is_adapted = held is not None and bool(held.sites)

    def add(self, name: str, prepared: Prepared, is_base_changed: bool = False) -> ResidentAdapter:
        """Make it resident, in place of one of the same name.

        ``is_base_changed`` where others were merged into it on purpose. Raises AdapterInvalid, OutOfMemory; then all
        is as before.
        """
        self.activate(None)
        if not is_base_changed:
            fit.require_same_base(prepared.files, self._checkpoint, self._model_name)
        fit.require_combination(prepared.files, self._quantization, virtual_tokens.activations(self._model)[1])
        try:
            sites, prompt = self._built(prepared)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(f"There was no room for the adapter {name}. Remove another one first.") from error
        weights = [weight for site in sites for weight in site.weights().values()]
        used_bytes = sum(weight.nbytes for weight in weights) + (0 if prompt is None else prompt.states.nbytes)
        kind = prepared.files.declared.kind
        held = ResidentAdapter(name, next(self._generations), kind, prepared.source, tuple(sites), prompt, used_bytes)
        self._by_name[name] = held
        return held

    def remove(self, name: str) -> None:
        """Forget the name; memory is free when the last request that holds it ends. Raises AdapterInvalid."""
        held = self.named(name)
        if held is self._active:
            self.activate(None)
        del self._by_name[name]

    def _built(self, prepared: Prepared) -> tuple[list[peft_compat.Site], virtual_tokens.VirtualTokens | None]:
        declared, misfit = prepared.files.declared, fit.misfit(prepared.files, self._checkpoint, self._model_name)
        if declared.kind in config.PROMPTS:
            fit.require_exact(virtual_tokens.expected_shape(declared, self._model), prepared.tensors, misfit)
            device, dtype = virtual_tokens.activations(self._model)
            return [], virtual_tokens.VirtualTokens(
                declared.kind, prepared.tensors[virtual_tokens.KEY].to(device, dtype)
            )
        try:
            sites = peft_compat.inject(declared.for_peft(), self._model, is_empty=True)
        except (ValueError, RuntimeError, KeyError, TypeError, NotImplementedError) as error:
            if is_out_of_memory(error):
                raise
            _log.debug("no layers for %s", prepared.files.folder, exc_info=True)
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise AdapterInvalid(f"{misfit}: {reason}. Use the adapter with its own base.") from error
        peft_compat.take_out(sites)
        fit.require_linear(sites, misfit)
        shapes = {name: tuple(weight.shape) for site in sites for name, weight in site.weights().items()}
        fit.require_exact(shapes, prepared.tensors, misfit)
        for site in sites:
            device = peft_compat.device_of(site.original)
            for name in site.weights():
                value = prepared.tensors[name].to(device=device, dtype=torch.float32)
                site.replace(name, torch.nn.Parameter(value, requires_grad=False))
            site.adapted.eval()  # PEFT makes them with dropout on
        return sites, None


def folder_of(wanted: Adapter, offline: bool = False) -> Path:
    """The folder of an adapter on this machine. Raises ModelError."""
    return files.find(wanted, offline, lambda _fraction, _sentence: None).folder
