from pathlib import Path

from starcoder_ls.learning.finetuning.adapter_card import build_card, count_licences
from starcoder_ls.learning.finetuning.repository_files import CodeFile
from training_records import TRAINING


def test_card_names_base_data_licences_and_figures() -> None:
    card = build_card("own", TRAINING)
    for text in ("base_model: bundled", "f00d", "2.800", "3.000", "MIT: 1 files", "20 of 24", "do not publish"):
        assert text in card


def test_licences_are_counted_with_the_most_frequent_first() -> None:
    files = [CodeFile(Path("/r"), str(number), "", "MIT" if number % 3 else "") for number in range(6)]
    assert list(count_licences(files).items()) == [("MIT", 4), ("none stated", 2)]


def test_card_of_an_edit_adapter_counts_edits() -> None:
    card = build_card("own", TRAINING | {"objective": "edits", "edit_format": "commit"})
    assert "the edits in the git history of shop" in card
    assert "| edits | 8 training" in card
    assert "| format | commit |" in card
    assert "MIT: 1 edits" in card
    assert "middles" not in card
