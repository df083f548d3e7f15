"""A loaded model with everything that generation uses: runner, tokenizer, adapters, and facts of its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapters
from starcoder_ls.engine.generation.ngram_mixing import NgramStrengths
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.engine.loading.placement import Placement
from starcoder_ls.engine.runner.model_runner import ModelRunner
from starcoder_ls.generation import Capabilities, ChatFormat, Phase, Status
from starcoder_ls.text_tokens.tokenizer import Tokenizer


@dataclass(slots=True)
class LoadedModel:
    """A model that is ready to generate.

    ``message`` is for the user: which adapters were left out and why, settings that are of no use here, replaced files.
    """

    runner: ModelRunner
    tokenizer: Tokenizer
    checkpoint: Checkpoint
    placement: Placement
    adapters: ResidentAdapters
    ngram_strengths: NgramStrengths | None = None
    message: str = ""
    chat: ChatFormat | None = None
    missing_adapters: tuple[str, ...] = ()

    @property
    def context_tokens(self) -> int:
        return self.checkpoint.context_tokens

    @property
    def bytes(self) -> int:
        """Memory of the weights and buffers, each counted once, and of the adapters."""
        return self.runner.weight_bytes + self.adapters.size_bytes

    def encode_first_token(self, text: str) -> tuple[int]:
        """The first token of ``text``, which is not empty."""
        return (self.tokenizer.first_token_id(text),)

    @property
    def status_message(self) -> str:
        """``message``, and whether passes are fused, if that was asked for."""
        graphs = self.runner.graphs
        return f"{self.message} {'' if graphs is None else graphs.message}".strip()

    def ready_status(self, name: str) -> Status:
        """The engine's status once this model, which the settings call ``name``, is ready."""
        return Status(
            phase=Phase.READY,
            progress=1.0,
            message=self.status_message,
            model=name,
            architecture=self.checkpoint.architecture,
            device=self.placement.device,
            dtype=self.placement.dtype_name,
            context_tokens=self.context_tokens,
            special_tokens=self.tokenizer.special_tokens,
            adapters=self.adapters.statuses(),
            missing_adapters=self.missing_adapters,
            memory_bytes=self.bytes,
            chat=self.chat,
            capabilities=Capabilities(document_ngrams=self.ngram_strengths is not None),
        )
