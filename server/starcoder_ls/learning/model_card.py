"""The README of a trained checkpoint, in the Hub's form: what it is, what it read, under which licences.

Refuses to know scores: `starcoder-ls eval card` measures those.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from starcoder_ls.learning.base_training import Plan
from starcoder_ls.learning.sources import HELD_OUT

_HEAD = """---
license: apache-2.0
language: [code]
library_name: transformers
pipeline_tag: text-generation
tags: [gpt_bigcode, fill-in-the-middle, python]
---

# The bundled model of starcoder-ls

A GPTBigCode of {parameters:.1f} million parameters ({layers} layers, width {width}, {heads} heads of multi-
query attention, {positions:,} learned positions, {vocabulary:,} tokens), trained from nothing on {seen:.1f}
million tokens of Python. It has StarCoder's special tokens at StarCoder's ids (0–18) and StarCoder's training
format, so that what works with it works with StarCoder: fill-in-the-middle in PSM and SPM variant 2 order,
metadata before the prefix, `<|endoftext|>` after the middle.

It is small and knows little: it finishes words, arguments and idioms, repeats what its document says, and is
often wrong beyond that. `ngram_strengths.json` is read by starcoder-ls only, which mixes the document's own
n-grams into its answers.

## Training

{plan}

## Data

{tokens:,} tokens of Python source from {packages} packages whose own metadata names a PSF, MIT, BSD or Apache
licence. Never learned from, nor any file that repeats their lines: {held_out}.

| package | version | licence |
|---|---|---|
"""


def text(plan: Plan, seen_tokens: int, parameters: int, corpus: Path) -> str:
    """The card of a model of ``parameters`` weights that has read ``seen_tokens`` from the folder ``corpus``."""
    described = json.loads((corpus / "corpus.json").read_text(encoding="utf-8"))
    vocabulary = json.loads((corpus / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    settings = "\n".join(f"- {name}: {value}" for name, value in asdict(plan).items())
    head = _HEAD.format(
        parameters=parameters / 1e6,
        layers=plan.layers,
        width=plan.width,
        heads=plan.heads,
        positions=plan.positions,
        vocabulary=len(vocabulary),
        seen=seen_tokens / 1e6,
        plan=settings,
        tokens=described["tokens"],
        packages=len(described["packages"]),
        held_out=", ".join(HELD_OUT),
    )
    rows = (f"| {name} | {version} | {' '.join(licence.split())} |" for name, version, licence in described["packages"])
    return head + "\n".join(rows) + "\n"
