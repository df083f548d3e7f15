import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from starcoder_ls.settings_errors import sentences


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int


def test_each_mistake_is_a_sentence_that_names_its_key() -> None:
    with pytest.raises(ValidationError) as caught:
        Shape.model_validate({"size": "big", "colour": 1})
    said = sentences(caught.value)
    assert "`size` cannot be 'big': " in said
    assert "there is no setting `colour`." in said
    with pytest.raises(ValidationError) as caught:
        Shape.model_validate({})
    assert sentences(caught.value) == "`size` is missing."
