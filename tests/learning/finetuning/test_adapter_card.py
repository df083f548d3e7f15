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
