from __future__ import annotations

import pytest

from context import secret_cases
from starcoder_ls.context import secret_names
from starcoder_ls.context.secret_names import find_secret_name
from starcoder_ls.languages import table


def is_secret(name: str) -> bool:
    parts = tuple(name.split("/"))
    return find_secret_name(("/", "home", "me", "certs", *parts), parts) is not None


@pytest.mark.parametrize("part", ["tuning", "held_out"])
def test_recall_and_false_positives_of_names_are_within_their_limits(part: secret_cases.Part) -> None:
    positive, negative = secret_cases.names(part)
    missed = [name for name in positive if not is_secret(name)]
    wrong = [name for name in negative if is_secret(name)]
    recall = 1 - len(missed) / len(positive)
    print(f"names, {part}: recall {recall:.1%} of {len(positive)}, {len(wrong)} of {len(negative)} excluded wrongly")  # noqa: T201
    assert recall >= 0.95, missed
    assert len(wrong) <= 1, wrong


@pytest.mark.parametrize("name", ["a\n.env", "x" * 300 + ".pem", ".ENV", "é/.env~", "#.env#"])
def test_unusual_secret_name_is_recognised(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["", "-key" * 60, "passwd" * 10_000, "a." * 10_000, "~" * 10_000])
def test_long_name_without_a_known_ending_is_ordinary(name: str) -> None:
    assert not is_secret(name)


def test_folder_is_secret_only_if_programs_keep_secrets_there() -> None:
    assert find_secret_name(("/", "w", ".ssh"), (".ssh",), is_folder=True) == ".ssh"
    assert find_secret_name(("/", "w", "secrets"), ("secrets",), is_folder=True) is None
    assert find_secret_name(("/", "w", "secrets", "a.yml"), ("secrets", "a.yml")) == "secrets"
    assert find_secret_name(("/", "w", "secrets", "a.py"), ("secrets", "a.py")) is None
    assert find_secret_name(("/", "w", ".ssh", "a.py"), (".ssh", "a.py")) == ".ssh"


@pytest.mark.parametrize("suffix", sorted(table.SOURCE_SUFFIXES))
def test_source_code_in_every_language_of_the_table_is_no_secret(suffix: str) -> None:
    parts = ("certificates", f"credentials{suffix.upper()}")
    assert find_secret_name(("/", "work", *parts), parts) is None


def test_suffixes_of_the_table_are_not_listed_a_second_time() -> None:
    suffixes = {suffix for language in table.LANGUAGES for suffix in language.suffixes}
    assert not [other for other in secret_names._OTHER_CODE.split() if f".{other}" in suffixes]
