"""One forward pass over rows of a StaticKv in a form that a CUDA graph can contain.

All tensors have fixed addresses and nothing waits for the device. Decides the layout of inputs and outputs, the
position at which each token is written, and the mask.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from transformers.cache_utils import Cache, DynamicLayer

from starcoder_ls.engine.cuda_graphs.buckets import NEW_TOKEN_COUNTS, Bucket
from starcoder_ls.engine.kv_cache.cache import KeysAndValues
from starcoder_ls.engine.kv_cache.static_kv import SPARE_TOKENS, StaticKv
from starcoder_ls.engine.model_shape import attention_window
from starcoder_ls.text_tokens.candidate import SampledToken


class _Layer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer of a StaticKv. Writes new states at positions that are on the device, and returns the first
    ``kv_tokens`` positions, whatever they contain."""

    def __init__(self, storage: KeysAndValues, positions: torch.Tensor, kv_tokens: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._storage, self._positions, self._kv_tokens = storage, positions, kv_tokens

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> KeysAndValues:
        """States of the new tokens, [rows, heads, time, head_dim] -> [rows, heads, kv_tokens, head_dim]."""
        positions = self._positions[:, None, :, None].expand_as(key_states)  # [rows, heads, time, head_dim]
        for storage, states in zip(self._storage, (key_states, value_states), strict=True):
            if torch.compiler.is_compiling():  # of one row; inductor would copy the storage for `scatter_`
                storage.index_copy_(2, self._positions[0], states)
            else:
                storage.scatter_(2, positions, states)
        keys, values = (storage[:, :, : self._kv_tokens] for storage in self._storage)
        return keys, values


class PassTensors(NamedTuple):
    """What a pass reads and writes, at fixed addresses."""

    inputs: torch.Tensor  # [rows, new tokens + 1]: ids, then the position of the first
    offsets: torch.Tensor  # [new tokens]: 0, 1, ...
    kv_positions: torch.Tensor  # [kv tokens]: 0, 1, ...
    storages: list[KeysAndValues]  # of each layer, [rows, heads, positions, head_dim]
    logits: torch.Tensor  # [rows * new tokens, vocabulary]
    likeliest: torch.Tensor  # [rows * new tokens, 2]: id and log probability


def compute_pass(model: Any, tensors: PassTensors) -> None:
    """Run ``model`` over the inputs; write keys, values and outputs."""
    ids, positions = tensors.inputs[:, :-1], tensors.inputs[:, -1:] + tensors.offsets  # [rows, time]
    kv_positions, logits, likeliest = tensors.kv_positions, tensors.logits, tensors.likeliest
    layers: list[Any] = [_Layer(storage, positions, kv_positions.shape[0]) for storage in tensors.storages]
    hidden = model.base_model(
        input_ids=ids,
        position_ids=positions.clamp_max(int(model.config.max_position_embeddings) - 1),
        attention_mask=causal_mask(positions, kv_positions, attention_window(model.config), logits.dtype),
        past_key_values=Cache(layers=layers),
        use_cache=True,
    ).last_hidden_state  # [rows, time, width]
    logits.copy_(model.get_output_embeddings()(hidden.flatten(0, 1)))
    best = logits.argmax(-1, keepdim=True)
    likeliest[:, :1].copy_(best)
    likeliest[:, 1:].copy_(logits.log_softmax(-1).gather(-1, best))  # one kernel; logsumexp takes six


class StaticPass:
    """Inputs and outputs of a pass over up to ``rows`` rows, or over one row of up to ``SPARE_TOKENS`` tokens."""

    def __init__(self, model: Any, rows: int, device: torch.device, dtype: torch.dtype) -> None:
        max_tokens = max(rows * NEW_TOKEN_COUNTS[-1], SPARE_TOKENS)
        vocabulary_size = int(model.config.vocab_size)
        logits_dtype = dtype if dtype == torch.float64 else torch.float32
        self._model = model
        self._host_inputs = torch.zeros(max_tokens + rows, dtype=torch.long, pin_memory=device.type == "cuda")
        self._inputs = torch.zeros(max_tokens + rows, dtype=torch.long, device=device)
        self._logits = torch.zeros(max_tokens, vocabulary_size, dtype=logits_dtype, device=device)
        # Ids and their log probabilities in one tensor, for one copy: float64 holds ids exactly.
        self._likeliest = torch.zeros(max_tokens, 2, dtype=torch.float64, device=device)

    @property
    def bytes(self) -> int:
        """Memory on the device."""
        return sum(int(tensor.nbytes) for tensor in (self._inputs, self._logits, self._likeliest))

    def write_inputs(self, bucket: Bucket, ids: Sequence[Sequence[int]], starts: Sequence[int]) -> None:
        """Copy the new tokens of each row to the device, and the position of the first.

        ``ids`` has ``bucket.rows`` rows of at most ``bucket.new_tokens``; they are padded with 0.
        """
        flat: list[int] = []
        for row, start in zip(ids, starts, strict=True):
            flat += [*row, *[0] * (bucket.new_tokens - len(row)), start]
        count = len(flat)
        self._host_inputs[:count] = torch.tensor(flat)
        self._inputs[:count].copy_(self._host_inputs[:count], non_blocking=True)

    def build(
        self, static_kv: StaticKv, bucket: Bucket, compute: Callable[[Any, PassTensors], None] | None = None
    ) -> Callable[[], None]:
        """Return the pass as a function to capture: from the inputs to the outputs of this object.

        ``compute`` is ``compute_pass``, or that function compiled. Keep the function as long as its graph, since it
        holds memory that the graph reads. Tokens that pad a row are written at the positions after its end, which no
        token attends to before they are overwritten.
        """
        tensors = self.tensors(static_kv, bucket)
        return functools.partial(compute or compute_pass, self._model, tensors)

    def tensors(self, static_kv: StaticKv, bucket: Bucket) -> PassTensors:
        """The tensors that a pass of this shape reads and writes."""
        device, count = self._inputs.device, bucket.rows * bucket.new_tokens
        return PassTensors(
            self._inputs[: count + bucket.rows].view(bucket.rows, bucket.new_tokens + 1),
            torch.arange(bucket.new_tokens, device=device),
            torch.arange(bucket.kv_tokens, device=device),
            static_kv.layer_views(bucket.rows),
            self._logits[:count],
            self._likeliest[:count],
        )

    def read_outputs(self, bucket: Bucket) -> tuple[torch.Tensor, list[list[SampledToken]]]:
        """Return the logits after each token, [rows, time, vocabulary], and the likeliest next token after each.

        The logits stay on the device and are overwritten by the next pass. Waits for the device once.
        """
        count = bucket.rows * bucket.new_tokens
        tokens = [SampledToken(int(id_), logprob) for id_, logprob in self._likeliest[:count].tolist()]
        rows = [tokens[first : first + bucket.new_tokens] for first in range(0, count, bucket.new_tokens)]
        return self._logits[:count].view(bucket.rows, bucket.new_tokens, -1), rows


def causal_mask(
    positions: torch.Tensor, kv_positions: torch.Tensor, window: int | None, dtype: torch.dtype
) -> torch.Tensor:
    """Return the additive mask of tokens at ``positions`` [rows, time] over ``kv_positions`` [kv_tokens].

    0 at a token's own position and the ``window`` - 1 before it (all, if None), elsewhere the least number of
    ``dtype``: with minus infinity, the softmax of a row that takes no part could be NaN.  # [rows, 1, time, kv_tokens]
    """
    is_visible = kv_positions <= positions[:, :, None]
    if window is not None:
        is_visible &= kv_positions > positions[:, :, None] - window
    mask = torch.zeros(is_visible.shape, dtype=dtype, device=kv_positions.device)
    return mask.masked_fill_(~is_visible, torch.finfo(dtype).min)[:, None]
