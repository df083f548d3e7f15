"""Writes the README of a trained checkpoint in the Hub's form: architecture, training, data and their licences.

Scores are not part of it; `starcoder-ls eval card` measures them.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from starcoder_ls.learning.base_training import TrainingConfig
from starcoder_ls.learning.sources import HELD_OUT

_TEMPLATE = """---
license: apache-2.0
language: [code]
library_name: transformers
pipeline_tag: text-generation
tags: [gpt_bigcode, fill-in-the-middle, python]
---

# The bundled model of starcoder-ls

A GPTBigCode of {parameters:.1f} million parameters ({layers} layers, width {width}, {heads} heads of multi-
query attention, {positions:,} learned positions, {vocabulary:,} tokens), trained from scratch on {trained:.1f}
million tokens of Python. It has StarCoder's special tokens at StarCoder's ids (0–18) and StarCoder's training
format, so that software for StarCoder runs with it unchanged: fill-in-the-middle in PSM and SPM variant 2 order,
metadata before the prefix, `<|endoftext|>` after the middle.

The model is small. It completes words, arguments and idioms and repeats what is in its document; longer
suggestions are often wrong. `ngram_strengths.json` is read by starcoder-ls only, which mixes the document's own
n-grams into the model's predictions.

## Training

{settings}

## Data

{tokens:,} tokens of Python source from {packages} packages whose own metadata names a PSF, MIT, BSD or Apache
licence. Excluded, together with every file that repeats their lines: {held_out}.

| package | version | licence |
|---|---|---|
"""


def build_model_card(config: TrainingConfig, trained_tokens: int, parameters: int, corpus: Path) -> str:
    """The card of a model with ``parameters`` weights, trained on ``trained_tokens`` of the folder ``corpus``."""
    summary = json.loads((corpus / "corpus.json").read_text(encoding="utf-8"))
    vocabulary = json.loads((corpus / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    text = _TEMPLATE.format(
        parameters=parameters / 1e6,
        layers=config.layers,
        width=config.width,
        heads=config.heads,
        positions=config.positions,
        vocabulary=len(vocabulary),
        trained=trained_tokens / 1e6,
        settings="\n".join(f"- {name}: {value}" for name, value in asdict(config).items()),
        tokens=summary["tokens"],
        packages=len(summary["packages"]),
        held_out=", ".join(HELD_OUT),
    )
    rows = (f"| {name} | {version} | {' '.join(licence.split())} |" for name, version, licence in summary["packages"])
    return text + "\n".join(rows) + "\n"
