"""Prompt tuning: virtual tokens with learned embeddings (Lester et al. 2021)."""

from __future__ import annotations

from starcoder_ls.engine.adapters.virtual_token_method import EmbeddingMethod


class PromptTuning(EmbeddingMethod):
    peft_type = "PROMPT_TUNING"
    training_keys = frozenset(
        {"prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path", "tokenizer_kwargs"}
    )
