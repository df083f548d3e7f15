from __future__ import annotations

from pathlib import Path

import adapter_fixtures
from starcoder_ls.engine.adapters.config import read_config
from starcoder_ls.engine.adapters.methods.prompt_tuning import PromptTuning


def test_training_keys_are_ignored(tmp_path: Path) -> None:
    keys = dict.fromkeys(PromptTuning.training_keys, "TEXT")
    config = read_config(adapter_fixtures.write_config(tmp_path, "PROMPT_TUNING", **keys))
    assert isinstance(config.method, PromptTuning)
    assert not keys.keys() & config.values.keys()
