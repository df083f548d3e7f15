"""One pass over seats as a CUDA graph can hold it: nothing asked of the device, everything at a fixed address.

Decides what goes in and what comes out, and where each token is written and may look. Refuses to know when a pass is
wanted, and how it is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from starcoder_ls.engine.cuda_graphs.buckets import Bucket
from starcoder_ls.engine.kv_cache.static_kv import SPARE_TOKENS, KeysAndValues, StaticKv
from starcoder_ls.engine.runner import padded_batch
from starcoder_ls.text_tokens.candidate import SampledToken


class _Layer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer of the seats. New states go to the places that the device knows; all places that are looked at come
    back, whatever is there."""

    def __init__(self, storage: KeysAndValues, positions: torch.Tensor, tokens: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._storage, self._positions, self._tokens = storage, positions, tokens

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        places = self._positions[:, None, :, None].expand_as(key_states)  # [rows, heads, time, dim]
        for stored, states in zip(self._storage, (key_states, value_states), strict=True):
            stored.scatter_(2, places, states)
        keys, values = (stored[:, :, : self._tokens] for stored in self._storage)
        return keys, values


class StaticPass:
    """What goes into a pass and comes out of it, for up to ``rows`` rows of as many tokens as seats have to spare."""

    def __init__(self, model: Any, rows: int, device: torch.device, dtype: torch.dtype) -> None:
        most, vocabulary = rows * SPARE_TOKENS, int(model.config.vocab_size)
        exact = dtype if dtype == torch.float64 else torch.float32
        self._model = model
        self._sent = torch.zeros(most + rows, dtype=torch.long, pin_memory=device.type == "cuda")
        self._feed = torch.zeros(most + rows, dtype=torch.long, device=device)
        self._logits = torch.zeros(most, vocabulary, dtype=exact, device=device)
        # Ids and their log probabilities: ids are exact in float64.
        self._likeliest = torch.zeros(most, 2, dtype=torch.float64, device=device)

    @property
    def bytes(self) -> int:
        return sum(int(tensor.nbytes) for tensor in (self._feed, self._logits, self._likeliest))

    def write_inputs(self, shape: Bucket, ids: Sequence[Sequence[int]], starts: Sequence[int]) -> None:
        """Of each row the new tokens, at most ``shape.time``, and the place of the first."""
        flat: list[int] = []
        for own, start in zip(ids, starts, strict=True):
            flat += [*own, *[0] * (shape.time - len(own)), start]
        count = len(flat)
        self._sent[:count] = torch.tensor(flat)
        self._feed[:count].copy_(self._sent[:count], non_blocking=True)

    def build(self, seats: StaticKv, shape: Bucket) -> Callable[[], None]:
        """The pass itself, to be recorded: from what ``fill`` sent to what ``read`` tells. Whoever keeps a recording
        keeps this too, since it holds memory that is read.

        A token that pads its row is one of the places behind it, which nobody looks at before it is written anew.
        """
        model, device = self._model, self._feed.device
        count = shape.rows * shape.time
        feed = self._feed[: count + shape.rows].view(shape.rows, shape.time + 1)
        logits, likeliest = self._logits[:count], self._likeliest[:count]
        ahead = torch.arange(shape.time, device=device)
        places = torch.arange(shape.tokens, device=device)
        last_place, window = int(model.config.max_position_embeddings) - 1, padded_batch.window(model.config)
        storages = seats.layer_views(shape.rows)

        def pass_over() -> None:
            ids, positions = feed[:, :-1], feed[:, -1:] + ahead  # [rows, time]
            hidden = model.base_model(
                input_ids=ids,
                position_ids=positions.clamp_max(last_place),
                attention_mask=causal_mask(positions, places, window, self._logits.dtype),
                past_key_values=Cache(layers=[_Layer(storage, positions, shape.tokens) for storage in storages]),
                use_cache=True,
            ).last_hidden_state
            logits.copy_(model.get_output_embeddings()(hidden.flatten(0, 1)))
            best = logits.argmax(-1, keepdim=True)
            likeliest[:, :1].copy_(best)
            likeliest[:, 1:].copy_(logits.log_softmax(-1).gather(-1, best))  # one kernel; logsumexp is six

        return pass_over

    def read_outputs(self, shape: Bucket) -> tuple[torch.Tensor, list[list[SampledToken]]]:
        """Logits of all tokens, overwritten by the next pass, and the likeliest next one of each.

        [rows, time, vocabulary]; the one copy from the device that a pass waits for.
        """
        count = shape.rows * shape.time
        drawn = [SampledToken(int(id_), logprob) for id_, logprob in self._likeliest[:count].tolist()]
        rows = [drawn[first : first + shape.time] for first in range(0, count, shape.time)]
        return self._logits[:count].view(shape.rows, shape.time, -1), rows


def causal_mask(positions: torch.Tensor, places: torch.Tensor, window: int | None, dtype: torch.dtype) -> torch.Tensor:
    """0 where a token may look, at its own place and before as far as the window goes; else the least number there is.

    Not minus infinity: a row that takes no part may have no place to look at.  # [rows, 1, time, places]
    """
    may_look = places <= positions[:, :, None]
    if window is not None:
        may_look &= places > positions[:, :, None] - window
    hidden = torch.zeros(may_look.shape, dtype=dtype, device=places.device)
    return hidden.masked_fill_(~may_look, torch.finfo(dtype).min)[:, None]
