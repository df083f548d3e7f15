import json
from pathlib import Path

from starcoder_ls.learning import model_card
from starcoder_ls.learning.base_training import TrainingConfig


def test_card_lists_packages_with_version_and_licence(tmp_path: Path) -> None:
    packages = [["attrs", "26.1", "MIT"], ["numpy", "2.4", "BSD-3-Clause"]]
    (tmp_path / "corpus.json").write_text(json.dumps({"tokens": 1234567, "packages": packages, "documents": []}))
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0, "b": 1}}}))
    card = model_card.build_model_card(TrainingConfig(layers=3), 5_000_000, 6_700_000, tmp_path)
    assert card.startswith("---\nlicense: apache-2.0\n")
    for expected in (
        "| attrs | 26.1 | MIT |",
        "| numpy | 2.4 | BSD-3-Clause |",
        "6.7 million",
        "1,234,567",
        "- layers: 3",
        "rich",
    ):
        assert expected in card
