"""P-Tuning: virtual tokens whose embeddings an encoder computed in training (Liu et al. 2021).

PEFT saves the encoder's output, so a saved adapter is the same as one of prompt tuning.
"""

from __future__ import annotations

from starcoder_ls.engine.adapters.virtual_token_method import EmbeddingMethod


class PTuning(EmbeddingMethod):
    peft_type = "P_TUNING"
    training_keys = frozenset(
        {"encoder_reparameterization_type", "encoder_hidden_size", "encoder_num_layers", "encoder_dropout"}
    )
