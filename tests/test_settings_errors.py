import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from starcoder_ls.settings_errors import describe_errors


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int


def test_each_invalid_key_gets_a_sentence_that_names_it() -> None:
    with pytest.raises(ValidationError) as caught:
        Section.model_validate({"size": "big", "colour": 1})
    message = describe_errors(caught.value)
    assert "`size` cannot be 'big': " in message
    assert "there is no setting `colour`." in message
    with pytest.raises(ValidationError) as caught:
        Section.model_validate({})
    assert describe_errors(caught.value) == "`size` is missing."
