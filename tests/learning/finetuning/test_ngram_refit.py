from __future__ import annotations

import shutil
from pathlib import Path

import starcoder_ls
from starcoder_ls.engine.generation.ngram_mixing import NgramStrengths
from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.learning.finetuning.ngram_refit import refit_strengths, replace_strengths
from starcoder_ls.learning.finetuning.trainable import FrozenBase
from training_fixtures import load_base, rows_of

BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"


def test_code_that_repeats_itself_gives_n_grams_a_greater_share() -> None:
    model, checkpoint, tokenizer = load_base(BUNDLED)
    before = NgramStrengths.from_folder(BUNDLED)
    assert before is not None
    fitted = refit_strengths(FrozenBase(model), rows_of(checkpoint, tokenizer), tokenizer, 6)
    keys = [key for key in fitted.by_evidence if key.startswith(("15/", "20/")) and key.endswith("one")]
    assert sum(fitted.by_evidence[key] for key in keys) > sum(before.by_evidence.get(key, 0.0) for key in keys)


def test_checkpoint_with_other_strengths_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED, folder)
    replace_strengths(folder, NgramStrengths({"15/1/one": 0.5}))
    assert read_checkpoint(folder).folder == folder
    read = NgramStrengths.from_folder(folder)
    assert read is not None
    assert read.by_evidence == {"15/1/one": 0.5}
