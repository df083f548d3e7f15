"""The adapters that are resident beside one base model, and which of them its layers apply now.

A switch changes a few dictionary entries per layer; no weight moves. Only the engine's thread may use this module,
except for ``prepare_adapter``, ``ResidentAdapters.find`` and ``ResidentAdapters.prepare``, which takes long.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from starcoder_ls.engine.adapters import files, fit
from starcoder_ls.engine.adapters.adapter_method import AdapterMethod
from starcoder_ls.engine.adapters.files import AdapterFiles
from starcoder_ls.engine.adapters.target_module import TargetModule, copy_base, has_8_bit_layers, move_to
from starcoder_ls.engine.adapters.virtual_tokens import VirtualTokens
from starcoder_ls.engine.kv_cache.prefix_cache import AdapterKey
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.engine.loading.progress import ProgressCallback, ignore_progress
from starcoder_ls.engine.memory import is_out_of_memory
from starcoder_ls.engine.model_shape import activation_type
from starcoder_ls.errors import AdapterInvalid, OutOfMemory
from starcoder_ls.generation import AdapterStatus
from starcoder_ls.import_failures import explain_import_failure
from starcoder_ls.settings import Adapter

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PreparedAdapter:
    """An adapter read from its files and checked as far as is possible without a model."""

    source: str
    files: AdapterFiles
    tensors: Mapping[str, torch.Tensor]
    is_other_base_allowed: bool = False


def prepare_adapter(adapter: Adapter, is_offline: bool, on_progress: ProgressCallback) -> PreparedAdapter:
    """Do all that takes disk or network; may be called from any thread. Raises ModelError."""
    adapter_files = files.resolve_adapter(adapter, is_offline, on_progress)
    tensors = files.read_tensors(adapter_files)
    fit.require_method_tensors(adapter_files, tensors)
    return PreparedAdapter(adapter.source, adapter_files, tensors, adapter.allow_other_base)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ResidentAdapter:
    """One resident adapter: the modules that it changes, or the virtual tokens that it puts before a text.

    A request keeps a reference to its adapter, so that it completes after the adapter was removed or replaced.
    """

    name: str
    generation: int
    method: AdapterMethod
    source: str
    targets: tuple[TargetModule, ...]
    virtual_tokens: VirtualTokens | None
    size_bytes: int
    folder: str = ""

    @property
    def key(self) -> tuple[str, int]:
        """Identifies the adapter whose keys and values a cache contains. A replaced adapter has another key."""
        return self.name, self.generation

    @property
    def layers_key(self) -> AdapterKey:
        """The key of the adapter whose layers a pass applies; None if it uses the base's, as with virtual tokens."""
        return self.key if self.targets else None

    @property
    def virtual_token_count(self) -> int:
        return 0 if self.virtual_tokens is None else self.virtual_tokens.count

    def status(self) -> AdapterStatus:
        return AdapterStatus(
            self.name, self.method.peft_type, self.source, self.size_bytes, self.virtual_token_count, self.folder
        )


class ResidentAdapters:
    """All resident adapters of one model. Their layers wrap those of the base, which are not changed."""

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
    def size_bytes(self) -> int:
        return sum(adapter.size_bytes for adapter in self)

    @property
    def keys(self) -> frozenset[AdapterKey]:
        """The keys whose caches are valid; None is that of the base."""
        return frozenset({None, *(adapter.key for adapter in self)})

    @property
    def active(self) -> ResidentAdapter | None:
        """The adapter whose layers are those of the model now; None for the base alone."""
        return self._active

    @property
    def active_layers_key(self) -> AdapterKey:
        """The ``layers_key`` of the active adapter; None if there is none."""
        return None if self._active is None else self._active.layers_key

    def statuses(self) -> tuple[AdapterStatus, ...]:
        return tuple(adapter.status() for adapter in self)

    def find(self, name: str | None) -> ResidentAdapter | None:
        """The adapter ``name``; None for None, the base alone. Raises AdapterInvalid if there is no such adapter."""
        if name is None:
            return None
        adapter = self._by_name.get(name)
        if adapter is None:
            names = ", ".join(self._by_name) or "none"
            raise AdapterInvalid(f"No adapter {name} is loaded; loaded: {names}. Add it under `[adapters.{name}]`.")
        return adapter

    def activate(self, adapter: ResidentAdapter | None) -> None:
        """Apply the layers of ``adapter`` in the passes from now on, or those of the base alone."""
        if adapter is self._active:
            return
        if self._active is not None:
            for target in self._active.targets:
                target.use_base_layer()
        if adapter is not None:
            for target in adapter.targets:
                target.use_adapter_layer()
        self._active = adapter

    def prepare(self, adapter: Adapter, is_offline: bool) -> tuple[PreparedAdapter, list[TargetModule] | None]:
        """All that can be done beside a running engine: ``prepare_adapter`` and ``build_layers``. From any thread.

        Raises ModelError; an adapter whose packages cannot be imported is an AdapterInvalid, since the engine goes on.
        """
        try:
            prepared = prepare_adapter(adapter, is_offline, ignore_progress)
            return prepared, self.build_layers(prepared)
        except Exception as error:
            if (reason := explain_import_failure(error)) is None:
                raise
            raise AdapterInvalid(reason) from error

    def build_layers(self, prepared: PreparedAdapter) -> list[TargetModule] | None:
        """The layers of the adapter without its weights, built in a copy of the base: most of the time of ``add``.

        May be called from any thread. None if such layers are built on the device of the base, which only the engine's
        thread may use. Raises AdapterInvalid if the adapter does not fit.
        """
        if has_8_bit_layers(self._model):
            return None
        self._check_base(prepared)
        return move_to(self._create_layers(prepared, copy_base(self._model)), self._model)

    def add(
        self,
        name: str,
        prepared: PreparedAdapter,
        is_base_changed: bool = False,
        layers: list[TargetModule] | None = None,
    ) -> ResidentAdapter:
        """Make the adapter resident, in place of one of the same name.

        ``layers`` are those of ``build_layers``. ``is_base_changed`` skips the checks of the base's identity, after
        other adapters were merged into the base. Raises AdapterInvalid if it does not fit, OutOfMemory if there is no
        room; nothing is changed then.
        """
        self.activate(None)
        is_base_checked = not is_base_changed and not prepared.is_other_base_allowed
        self._check_base(prepared, is_base_changed)
        try:
            targets, virtual_tokens = self._build(prepared, layers)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(f"There is no room for the adapter {name}. Remove another one first.") from error
        if is_base_checked:  # after the shapes, whose message says more
            fit.require_same_base(prepared.files, self._checkpoint, self._model_name)
        tensors = [weight for target in targets for weight in target.weights().values()]
        size_bytes = sum(tensor.nbytes for tensor in tensors)
        size_bytes += 0 if virtual_tokens is None else virtual_tokens.states.nbytes
        method = prepared.files.config.method
        adapter = ResidentAdapter(
            name, next(self._generations), method, prepared.source, tuple(targets), virtual_tokens, size_bytes,
            str(prepared.files.folder),
        )  # fmt: skip
        self._by_name[name] = adapter
        return adapter

    def _check_base(self, prepared: PreparedAdapter, is_base_changed: bool = False) -> None:
        """Raises AdapterInvalid if the adapter was made for another base, or cannot run on this one."""
        if not is_base_changed and not prepared.is_other_base_allowed:
            fit.require_same_fingerprint(prepared.files, self._checkpoint, self._model_name)
        fit.require_base_supported(prepared.files, self._quantization, activation_type(self._model)[1])

    def remove(self, name: str) -> None:
        """Remove the name. The memory is released when the last request with the adapter ends.

        Raises AdapterInvalid if no adapter has the name.
        """
        adapter = self.find(name)
        if adapter is self._active:
            self.activate(None)
        del self._by_name[name]

    def _build(
        self, prepared: PreparedAdapter, layers: list[TargetModule] | None
    ) -> tuple[list[TargetModule], VirtualTokens | None]:
        """The adapter's layers, not active, and its virtual tokens. Raises AdapterInvalid if it does not fit."""
        config, tensors = prepared.files.config, prepared.tensors
        targets = self._create_layers(prepared, self._model) if layers is None else layers
        mismatch = fit.describe_mismatch(prepared.files, self._checkpoint, self._model_name)
        fit.require_linear_targets(targets, mismatch)
        fit.require_exact_tensors(config.method.tensor_shapes(config.values, self._model, targets), tensors, mismatch)
        return targets, config.method.load_tensors(tensors, self._model, targets)

    def _create_layers(self, prepared: PreparedAdapter, model: torch.nn.Module) -> list[TargetModule]:
        """In ``model``, which is the base or a copy of it. Raises AdapterInvalid if the adapter does not fit."""
        config = prepared.files.config
        try:
            return config.method.create_layers(config.values, model)
        except (ValueError, RuntimeError, KeyError, TypeError, NotImplementedError) as error:
            if is_out_of_memory(error):
                raise
            _log.debug("PEFT has no layers for %s", prepared.files.folder, exc_info=True)
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            mismatch = fit.describe_mismatch(prepared.files, self._checkpoint, self._model_name)
            raise AdapterInvalid(f"{mismatch}: {reason}. Use the adapter with its own base.") from error
