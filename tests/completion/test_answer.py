import math

from starcoder_ls.completion.answer import Answer


def test_confidence_is_the_geometric_mean_of_the_tokens_probabilities() -> None:
    assert math.isclose(Answer("ab", 2, logprob=math.log(0.5) + math.log(0.125)).confidence, 0.25)


def test_answer_without_tokens_is_sure() -> None:
    assert Answer().confidence == 1.0
