import pytest
from pydantic import ValidationError

from starcoder_ls.settings import NextEdit


def test_model_makes_no_edits_unless_the_user_says_so() -> None:
    assert NextEdit().model is False


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_impossible_confidence_is_rejected(value: float) -> None:
    with pytest.raises(ValidationError, match="min_confidence"):
        NextEdit(min_confidence=value)
