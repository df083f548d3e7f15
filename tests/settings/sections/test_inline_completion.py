import pytest
from pydantic import ValidationError

from starcoder_ls.settings import InlineCompletion


def test_language_settings_accept_the_id_of_any_editor() -> None:
    options = InlineCompletion(excluded_languages=("shellscript",), min_confidence_in={"cs": 0.5})
    enabled = [options.is_enabled_in(sent) for sent in ("sh", "bash", "shellscript", "python")]
    assert enabled == [False, False, False, True]
    assert [options.min_confidence_for(sent) for sent in ("csharp", "cs", "python")] == [0.5, 0.5, 0.0]


def test_paused_languages_are_excluded_in_addition_to_the_setting() -> None:
    options = InlineCompletion(excluded_languages=("markdown",), paused_languages=("shellscript",))
    enabled = [options.is_enabled_in(language) for language in ("markdown", "sh", "python")]
    assert enabled == [False, False, True]


def test_suggestions_are_automatic_unless_paused_or_manual() -> None:
    options = (InlineCompletion(), InlineCompletion(enabled=False), InlineCompletion(trigger="manual"))
    assert [option.is_automatic for option in options] == [True, False, False]


@pytest.mark.parametrize(("key", "value"), [("max_lines", 0), ("min_chars", -1), ("excluded_regions", ["code"])])
def test_impossible_value_is_rejected(key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=key):
        InlineCompletion.model_validate({key: value})
