from typing import get_args

from starcoder_ls.completion.output import postprocess, stop_rules
from starcoder_ls.rules import CompletionRule


def test_every_rule_can_be_switched_off_by_its_name() -> None:
    names = [name for name, _ in stop_rules.RULES] + ["half_words"] + [name for name, _ in postprocess.FILTERS]
    assert names == list(get_args(CompletionRule))
