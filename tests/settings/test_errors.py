import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from starcoder_ls.settings.errors import describe_errors, describe_unknown, shorten


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int


def test_each_invalid_key_gets_a_sentence_that_names_it() -> None:
    with pytest.raises(ValidationError) as caught:
        Section.model_validate({"size": "big", "colour": 1})
    message = describe_errors(caught.value)
    assert "`size` cannot be 'big': a whole number is needed." in message
    assert "there is no setting `colour`." in message
    with pytest.raises(ValidationError) as caught:
        Section.model_validate({})
    assert describe_errors(caught.value) == "`size` is missing."


class Values(BaseModel):
    ratio: float = 0.0
    enabled: bool = True
    name: str = ""
    names: list[str] = []
    table: dict[str, int] = {}
    section: Section = Section(size=1)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("ratio", "much", "a number is needed"),
        ("enabled", "perhaps", "true or false is needed"),
        ("name", 3, "text in quotes is needed"),
        ("names", "python", "a list in brackets is needed"),
        ("table", 1, "a table is needed"),
        ("section", 1, "a table is needed"),
    ],
)
def test_wrong_type_is_answered_with_what_is_needed(key: str, value: object, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Values.model_validate({key: value})
    assert describe_errors(caught.value) == f"`{key}` cannot be {value!r}: {reason}."


def test_message_is_short_and_printable_for_any_keys_and_values() -> None:
    deep: object = []
    for _ in range(3000):
        deep = [deep]
    values = {"size": deep, "\x1b[31m" + "k" * 9999: 1, **{f"key{number}": 1 for number in range(500)}}
    with pytest.raises(ValidationError) as caught:
        Section.model_validate(values)
    message = describe_errors(caught.value)
    assert message.isprintable()
    assert len(message) < 3000
    assert message.endswith("492 more are invalid.")
    assert "`size` cannot be [[[[[...]]]]]: " in message


def test_unknown_keys_are_named_and_the_rest_are_counted() -> None:
    assert describe_unknown(["a", "b\n"]) == "There is no setting `a`, `b\\n`."
    assert describe_unknown(list("abcdefghijkl")).endswith("`j`, nor 2 more.")


def test_text_is_shortened_with_a_mark() -> None:
    assert shorten("a" * 200) == "a" * 200
    assert shorten("a" * 201) == "a" * 199 + "…"
