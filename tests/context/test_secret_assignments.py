from __future__ import annotations

import pytest

from starcoder_ls.context.secret_assignments import find_assigned
from starcoder_ls.context.secret_patterns import MAX_MATCHES_PER_LINE


def find(line: str) -> list[str]:
    return [line[start:end] for start, end in find_assigned(line, line.encode("ascii", "replace"))]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('password = "é1ö2!ü"', "é1ö2!ü"),
        ("password: hunter2", "hunter2"),
        ("password: postgres", "postgres"),
        ("DB_PASS=123456", "123456"),
        ('<add key="Secret" value="aB3" />', ""),
        ("token_url = 'https://a1.example/oauth2'", ""),
        ("password: string", ""),
        ("password = user.password2", ""),
    ],
)
def test_value_of_a_secret_name_is_found_unless_it_is_a_type_or_code(line: str, value: str) -> None:
    assert find(line) == ([value] if value else [])


def test_line_with_too_many_names_counts_as_secret_from_there() -> None:
    line = "token = f(); " * (MAX_MATCHES_PER_LINE + 2)
    assert find(line) == [line[MAX_MATCHES_PER_LINE * 13 :]]
