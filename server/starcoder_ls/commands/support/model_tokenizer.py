"""The tokenizer of the model that the settings name, without the model: for programs whose prompts are token ids."""

from __future__ import annotations

from starcoder_ls.settings import Settings
from starcoder_ls.text_tokens.tokenizer import Tokenizer


def read_model_tokenizer(settings: Settings) -> Tokenizer:
    """That of `remote.tokenizer` if the model is on another machine. Raises ModelError, SettingsError."""
    if settings.remote.url:
        from starcoder_ls.remote.tokenizer_source import read_tokenizer

        return read_tokenizer(settings).tokenizer
    from starcoder_ls.engine.loading.progress import ignore_progress
    from starcoder_ls.engine.loading.resolve import resolve_checkpoint

    checkpoint = resolve_checkpoint(settings.model, ignore_progress)
    return Tokenizer.from_folder(checkpoint.folder, checkpoint.vocabulary_size)
