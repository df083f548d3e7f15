from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.context import secrets

# In two halves: so that no scanner takes this file for a leak.
TOKENS = [
    "AK" + "IAIOSFODNN7ABCDEFG",
    "gh" + "p_" + "aB3" * 12,
    "github" + "_pat_" + "11ABCDEFG0" * 3,
    "gl" + "pat-" + "x1Yz" * 5,
    "xo" + "xb-" + "1234567890-abcdefABCDEF",
    "https://hooks." + "slack.com/services/T00000000/B00000000/" + "aB3" * 8,
    "sk" + "-proj-" + "abc123DEF456" * 3,
    "sk" + "_live_" + "a1B2" * 6,
    "AI" + "za" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
    "hf" + "_" + "aBcDeFgHiJ" * 3 + "1234",
    "np" + "m_" + "aB3d" * 9,
    "pypi" + "-AgE" + "IcHlwaS5vcmc" * 6,
    "SG" + "." + "aB3d_-" * 3 + "aB3d" + "." + "aB3d_" * 8 + "aB3",
    "ey" + "JhbGciOiJIUzI1NiJ9.ey" + "JzdWIiOiIxMjM0In0." + "aB3_-" * 6,
    "postgres://me:" + "s3cretpw@db.example.com/x",
    'password = "' + 'hunter2hunter2"',
    "os.environ['API" + "_KEY'] = 'abc123def456'",
    '{"client_' + 'secret": "aBcD1234eFgH"}',
    "self.auth" + '_token: str = "abcd1234efgh"',
]
PRIVATE_KEY = "-----BEGIN RSA PRIVATE" + " KEY-----\nMIIEpAIBAAKCAQEA\nabcdefgh+/==\n-----END RSA PRIVATE" + " KEY-----"

CLEAN = '''
def token(self, password: str = "password", secret_name="database") -> str:
    """https://user@example.com and https://{user}:{password}@host and sk-learn-is-no-token-of-anyone"""
    api_key = os.environ["API_KEY"]
    password = get_password("service")
    TOKEN="${GITHUB_TOKEN}"
    key = "some/long/path/to/a/file_name.py"
    commit = "3f786850e387550fdab836ed7e6dc881de23001b"
    self.hidden_features_of_the_model = hf_hub_download_of_the_checkpoint
'''


@pytest.mark.parametrize("text", [*TOKENS, PRIVATE_KEY], ids=lambda text: text[:12])
def test_secret_is_masked_and_what_it_is_stays_readable(text: str) -> None:
    hidden = secrets.masked(f"before = 1\nx = f({text})\nafter = 2\n")
    assert "xxxxxxxx" in hidden
    assert hidden.startswith("before = 1\nx = f(")
    assert hidden.endswith("\nafter = 2\n")
    assert len(hidden) == len(f"before = 1\nx = f({text})\nafter = 2\n")
    assert secrets.holds(text)


def test_shell_assignments_are_seen_without_quotes() -> None:
    assert secrets.masked("  export DB_PASS" + "WORD=s3cr3tvalue1\nB=2") == "  export DB_PASSWORD=xxxxxxxxxxxx\nB=2"


def test_clean_code_stays_as_it_is() -> None:
    assert secrets.masked(CLEAN) == CLEAN
    assert not secrets.holds(CLEAN)


PIECES = st.sampled_from([*TOKENS, PRIVATE_KEY, "x = 1", "", "'", "\r\n", "é"])


@given(st.lists(PIECES, max_size=8), st.text(max_size=20))
def test_masking_keeps_every_length_and_line_end_and_needs_no_second_time(pieces: list[str], between: str) -> None:
    text = f" {between} ".join(pieces)
    hidden = secrets.masked(text)
    assert [len(line) for line in hidden.split("\n")] == [len(line) for line in text.split("\n")]
    assert secrets.masked(hidden) == hidden


def test_part_of_a_private_key_is_masked_though_its_begin_is_elsewhere() -> None:
    text = f"a = 1\n{PRIVATE_KEY}\nb = 2\n"
    start = text.index("abcdefgh")
    assert secrets.masked_part(text, start, len(text)).startswith("xxxxxxxxxxxx\n-----END")
    assert secrets.masked_part(text, text.index("MIIE"), start + 4) == "x" * 16 + "\nxxxx"


def test_code_behind_a_private_key_or_one_that_only_names_its_mark_stays() -> None:
    code = "\n\ndef public(text: str) -> bool:\n    return text.startswith(MARK) and len(text) > 1_000\n"
    assert secrets.masked(f"a = '{PRIVATE_KEY}'{code}").endswith(f" KEY-----'{code}")
    mark = 'MARK = "-----BEGIN PRIVATE' + ' KEY-----"'
    assert secrets.masked(mark + code) == mark + code


@pytest.mark.parametrize("end", ["\n", "\\n", "\\n',\n  '"])
def test_private_key_that_is_still_being_written_is_masked_as_far_as_it_goes(end: str) -> None:
    rows = ["MIIEpAIBAAKCAQEA" * 4, "x1Y+" * 16, "ab/9="]
    text = "-----BEGIN RSA PRIVATE" + f" KEY-----{end}{end.join(rows)}'\n)\nafter = some_name\n"
    hidden = secrets.masked(text)
    assert not any(row in hidden for row in rows)
    assert hidden.endswith("'\n)\nafter = some_name\n")
    assert len(hidden) == len(text)
    assert secrets.masked(hidden) == hidden


def test_the_rest_of_a_secret_is_one_and_so_is_a_mask() -> None:
    token = TOKENS[1]
    assert secrets.holds(token[10:], before=f"t = '{token[:10]}")
    assert not secrets.holds(token[10:])
    assert secrets.holds(' = "xxxxxxxxxxxx"')
    assert not secrets.holds(" + 1", before=f"t = '{token}'")


def test_a_key_that_is_being_typed_changes_nothing_twice() -> None:
    line = "password = '" + "hunter2hunter2'"
    hidden = [secrets.masked(line[:end]) for end in range(len(line) + 1)]
    assert hidden[-1] == "password = 'xxxxxxxxxxxxxx'"
    assert hidden[:-1] == [line[:end] for end in range(len(line))]


def test_a_long_text_is_masked_again_in_little_time() -> None:
    text = "    value = compute(other_value, 'some string', 12345)  # words about it\n" * 3000
    secrets.masked(text)
    began_s = time.perf_counter()
    secrets.masked(text + "x")
    assert time.perf_counter() - began_s < 0.25


def test_an_answer_gets_the_secrets_back_whose_lines_it_left_alone() -> None:
    original = f"def f():\n    token = '{TOKENS[1]}'\n    return token\n"
    shown = secrets.masked(original)
    assert TOKENS[1] not in shown
    assert secrets.restored(shown.replace("return token", "return token.strip()"), shown, original) == original.replace(
        "return token", "return token.strip()"
    )
    moved = "\n".join("    " + row for row in shown.split("\n"))
    assert f"        token = '{TOKENS[1]}'" in str(secrets.restored(moved, shown, original))


def test_an_answer_that_rewrites_a_secrets_line_or_says_another_is_none() -> None:
    original = f"token = '{TOKENS[1]}'\n"
    shown = secrets.masked(original)
    assert secrets.restored(shown.replace("token =", "TOKEN ="), shown, original) is None
    assert secrets.restored(f"a = 1\nb = '{TOKENS[2]}'", shown, original) is None
    assert secrets.restored("a = 1", shown, original) == "a = 1"


def test_of_two_secrets_under_the_same_mask_none_is_guessed() -> None:
    one, other = TOKENS[1], TOKENS[1][:-4] + "abcd"
    original = f"call('{one}')\ncall('{other}')\n"
    shown = secrets.masked(original)
    assert secrets.restored(shown, shown, original) is None


@given(st.lists(PIECES, min_size=1, max_size=8), st.lists(st.tuples(st.floats(0, 1), PIECES), max_size=4))
def test_what_is_remembered_of_a_text_masks_it_as_if_seen_first(
    pieces: list[str], typed: list[tuple[float, str]]
) -> None:
    text = "\n".join(pieces)
    for where, more in typed:
        at = int(where * len(text))
        text = text[:at] + more + text[at:]
        start, end = sorted((at, len(text) // 2))
        remembered = secrets.masked_part(text, start, end)
        secrets._in_block.cache_clear()
        secrets._in_line.cache_clear()
        assert secrets.masked_part(text, start, end) == remembered
        assert list(map(len, remembered.split("\n"))) == list(map(len, text[start:end].split("\n")))
