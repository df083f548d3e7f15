from __future__ import annotations

from pathlib import Path

import adapter_fixtures
from starcoder_ls.engine.adapters.config import read_config
from starcoder_ls.engine.adapters.methods.p_tuning import PTuning


def test_training_keys_are_ignored(tmp_path: Path) -> None:
    keys = dict.fromkeys(PTuning.training_keys, "TEXT")
    config = read_config(adapter_fixtures.write_config(tmp_path, "P_TUNING", **keys))
    assert isinstance(config.method, PTuning)
    assert not keys.keys() & config.values.keys()
