from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.context import secrets

# In two halves, so that scanners do not report this file as a leak.
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
def test_secret_is_masked_and_the_code_around_it_stays(text: str) -> None:
    masked = secrets.mask_secrets(f"before = 1\nx = f({text})\nafter = 2\n")
    assert "xxxxxxxx" in masked
    assert masked.startswith("before = 1\nx = f(")
    assert masked.endswith("\nafter = 2\n")
    assert len(masked) == len(f"before = 1\nx = f({text})\nafter = 2\n")
    assert secrets.contains_secret(text)


def test_shell_assignments_are_masked_without_quotes() -> None:
    assert (
        secrets.mask_secrets("  export DB_PASS" + "WORD=s3cr3tvalue1\nB=2") == "  export DB_PASSWORD=xxxxxxxxxxxx\nB=2"
    )


def test_clean_code_stays_unchanged() -> None:
    assert secrets.mask_secrets(CLEAN) == CLEAN
    assert not secrets.contains_secret(CLEAN)


FRAGMENTS = st.sampled_from([*TOKENS, PRIVATE_KEY, "x = 1", "", "'", "\r\n", "é"])


@given(st.lists(FRAGMENTS, max_size=8), st.text(max_size=20))
def test_masking_keeps_lengths_and_line_ends_and_is_idempotent(fragments: list[str], between: str) -> None:
    text = f" {between} ".join(fragments)
    masked = secrets.mask_secrets(text)
    assert [len(line) for line in masked.split("\n")] == [len(line) for line in text.split("\n")]
    assert secrets.mask_secrets(masked) == masked


_LINES = st.sampled_from([*TOKENS, *PRIVATE_KEY.split("\n"), "x = 1", "", "    value = f(", "é"])


@given(st.lists(_LINES, min_size=1, max_size=12), st.lists(st.tuples(st.integers(0, 400), FRAGMENTS), max_size=4))
def test_masking_around_a_cursor_equals_masking_without_caches(lines: list[str], keys: list[tuple[int, str]]) -> None:
    text = "\n".join(lines)
    for offset, typed in [(0, ""), *keys]:
        cursor = min(offset, len(text))
        text = text[:cursor] + typed + text[cursor:]
        cursor += len(typed)
        start, after, end = max(0, cursor - 150), min(cursor + 1, len(text)), min(len(text), cursor + 150)
        cached = secrets.mask_secrets_around(text, start, cursor, after, end)
        secrets._find_in_block.cache_clear()
        secrets._find_in_short_line.cache_clear()
        uncached = secrets.mask_secrets_in_range(text, start, cursor), secrets.mask_secrets_in_range(text, after, end)
        assert cached == uncached


def test_key_searches_only_the_line_of_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []

    class Recorder:
        def search(self, data: bytes, position: int) -> object:
            searched.append(data.decode())
            return pattern.search(data, position)

    pattern = secrets.ANY
    monkeypatch.setattr(secrets, "ANY", Recorder())
    above, below = "value = one\n" * 200, "\nother = two" * 50
    for line in ("first_value", "first_value = compute"):
        searched.clear()
        text = f"{above}{line}{below}\n"
        cursor = len(above) + len(line)
        secrets.mask_secrets_around(text, 0, cursor, cursor, len(text))
    assert searched == ["first_value = compute"]


def test_range_inside_a_private_key_is_masked() -> None:
    text = f"a = 1\n{PRIVATE_KEY}\nb = 2\n"
    start = text.index("abcdefgh")
    assert secrets.mask_secrets_in_range(text, start, len(text)).startswith("xxxxxxxxxxxx\n-----END")
    assert secrets.mask_secrets_in_range(text, text.index("MIIE"), start + 4) == "x" * 16 + "\nxxxx"


def test_code_after_a_private_key_or_a_lone_begin_mark_stays() -> None:
    code = "\n\ndef public(text: str) -> bool:\n    return text.startswith(MARK) and len(text) > 1_000\n"
    assert secrets.mask_secrets(f"a = '{PRIVATE_KEY}'{code}").endswith(f" KEY-----'{code}")
    mark = 'MARK = "-----BEGIN PRIVATE' + ' KEY-----"'
    assert secrets.mask_secrets(mark + code) == mark + code


@pytest.mark.parametrize("end", ["\n", "\\n", "\\n',\n  '"])
def test_private_key_without_end_mark_is_masked_up_to_its_last_row(end: str) -> None:
    rows = ["MIIEpAIBAAKCAQEA" * 4, "x1Y+" * 16, "ab/9="]
    text = "-----BEGIN RSA PRIVATE" + f" KEY-----{end}{end.join(rows)}'\n)\nafter = some_name\n"
    masked = secrets.mask_secrets(text)
    assert not any(row in masked for row in rows)
    assert masked.endswith("'\n)\nafter = some_name\n")
    assert len(masked) == len(text)
    assert secrets.mask_secrets(masked) == masked


def test_rest_of_a_secret_and_a_mask_count_as_secrets() -> None:
    token = TOKENS[1]
    assert secrets.contains_secret(token[10:], before=f"t = '{token[:10]}")
    assert not secrets.contains_secret(token[10:])
    assert secrets.contains_secret(' = "xxxxxxxxxxxx"')
    assert not secrets.contains_secret(" + 1", before=f"t = '{token}'")


def test_secret_is_masked_only_once_it_is_complete() -> None:
    line = "password = '" + "hunter2hunter2'"
    masked = [secrets.mask_secrets(line[:end]) for end in range(len(line) + 1)]
    assert masked[-1] == "password = 'xxxxxxxxxxxxxx'"
    assert masked[:-1] == [line[:end] for end in range(len(line))]


def test_only_new_lines_of_a_long_text_are_searched_again() -> None:
    text = "".join(f"    token = compute(other_value, 'some string', {number})\n" for number in range(3000))
    secrets.mask_secrets(text)
    before = secrets._find_in_short_line.cache_info().misses
    secrets.mask_secrets(text + "one_more_token = 1")
    assert secrets._find_in_short_line.cache_info().misses == before + 1


def test_secrets_of_unchanged_lines_are_restored() -> None:
    original = f"def f():\n    token = '{TOKENS[1]}'\n    return token\n"
    masked = secrets.mask_secrets(original)
    assert TOKENS[1] not in masked
    assert secrets.restore_secrets(
        masked.replace("return token", "return token.strip()"), masked, original
    ) == original.replace("return token", "return token.strip()")
    moved = "\n".join("    " + row for row in masked.split("\n"))
    assert f"        token = '{TOKENS[1]}'" in str(secrets.restore_secrets(moved, masked, original))


def test_changed_line_of_a_secret_or_another_secret_is_rejected() -> None:
    original = f"token = '{TOKENS[1]}'\n"
    masked = secrets.mask_secrets(original)
    assert secrets.restore_secrets(masked.replace("token =", "TOKEN ="), masked, original) is None
    assert secrets.restore_secrets(f"a = 1\nb = '{TOKENS[2]}'", masked, original) is None
    assert secrets.restore_secrets("a = 1", masked, original) == "a = 1"


def test_indented_rows_of_a_key_are_masked_and_restored_in_position() -> None:
    rows = ["MIIEpAIBAAKCAQEA" * 3, "x1Y+" * 9]
    original = "k = '''-----BEGIN PRIVATE" + f" KEY-----\n    {rows[0]}\n\t{rows[1]}\n-----END PRIVATE KEY-----'''\n"
    masked = secrets.mask_secrets(original)
    assert masked.split("\n")[1:3] == ["    " + "x" * len(rows[0]), "\t" + "x" * len(rows[1])]
    assert secrets.restore_secrets(masked, masked, original) == original


def test_two_secrets_with_equal_masked_lines_are_rejected() -> None:
    first, second = TOKENS[1], TOKENS[1][:-4] + "abcd"
    original = f"call('{first}')\ncall('{second}')\n"
    masked = secrets.mask_secrets(original)
    assert secrets.restore_secrets(masked, masked, original) is None


def test_line_of_code_that_equals_a_masked_line_is_not_replaced_by_it() -> None:
    line = f"call('{TOKENS[1]}')"
    form = secrets.mask_secrets(line)
    original, masked = f"{line}\n{form}\n", f"{form}\n{form}\n"
    assert secrets.mask_secrets(original) == masked
    assert secrets.restore_secrets(masked, masked, original) is None
    assert secrets.restore_secrets("a = 1", masked, original) == "a = 1"


@given(st.lists(FRAGMENTS, min_size=1, max_size=8), st.lists(st.tuples(st.floats(0, 1), FRAGMENTS), max_size=4))
def test_caches_do_not_change_what_is_masked(fragments: list[str], edits: list[tuple[float, str]]) -> None:
    text = "\n".join(fragments)
    for share, inserted in edits:
        index = int(share * len(text))
        text = text[:index] + inserted + text[index:]
        start, end = sorted((index, len(text) // 2))
        cached = secrets.mask_secrets_in_range(text, start, end)
        secrets._find_in_block.cache_clear()
        secrets._find_in_short_line.cache_clear()
        assert secrets.mask_secrets_in_range(text, start, end) == cached
        assert list(map(len, cached.split("\n"))) == list(map(len, text[start:end].split("\n")))


def test_changed_line_with_a_short_mask_is_rejected() -> None:
    original = "password: 'S3c" + "ret'\nuser: me\n"
    masked = secrets.mask_secrets(original)
    assert masked == "password: 'xxxxxx'\nuser: me\n"
    assert secrets.restore_secrets(masked.replace("me", "you"), masked, original) == original.replace("me", "you")
    assert secrets.restore_secrets("passwd: 'xxxxxx'", masked, original) is None


REPEATED = [
    "hf_", "KEY", "key=", "password=", 'password="', "token ", "Bearer a1b2c3d4e5f6 ", "curl -u a:bcd ", " -p a1",
    "://a:b@", "eyJa.", "-----BEGIN PRIVATE KEY-----", "Private-Lines: 1\n", "sk-a1", "a_A1b2", "AKIA", 'auth("a","',
    "secret is ", "x_KEY=a1", "passwordpassword", "password: é1\n", "\\n", "é", " ",
]  # fmt: skip


@pytest.mark.parametrize("piece", [*REPEATED, *(f"{piece}\n" for piece in REPEATED)])
def test_repeated_text_is_masked_in_linear_time_at_equal_length(piece: str) -> None:
    text = piece * (120_000 // len(piece))  # quadratic time would be minutes
    masked = secrets.mask_secrets(text)
    assert len(masked) == len(text)
    assert masked.count("\n") == text.count("\n")


def test_one_long_word_after_a_prefix_is_masked_in_linear_time() -> None:
    assert len(secrets.mask_secrets("hf_" + "a" * 60_000)) == 60_003
    assert secrets.mask_secrets("KEY" * 40_000) == "KEY" * 40_000


def test_secret_in_a_line_of_a_megabyte_is_masked_also_in_a_part() -> None:
    line = "const a = 1; " * 40_000
    text = f"{line}let token = '{TOKENS[1]}'; {line}"
    start = len(line) - 10
    assert TOKENS[1] not in secrets.mask_secrets(text)
    assert TOKENS[1] not in secrets.mask_secrets_in_range(text, start, start + 200)
    assert secrets.mask_secrets_in_range(text, len(line) + 20, len(line) + 30) == "xxxxxxxxxx"


def test_masked_lines_around_the_cursor_stay_while_the_user_types() -> None:
    above = f"a = 1\ntoken = '{TOKENS[1]}'\n{PRIVATE_KEY}\npassword: hunter2!\n" * 20
    below = f"\nb = '{TOKENS[2]}'\nDB_PASSWORD=s3cr3tvalue1\n" * 20
    typed = f'connect(user="me", password="hunter2hunter2", url="{TOKENS[14]}") # password: S3cretpw1'
    masked_above, masked_below = secrets.mask_secrets(above), secrets.mask_secrets(below)
    changes, previous = 0, ""
    for end in range(len(typed) + 1):
        text, cursor = above + typed[:end] + below, len(above) + end
        before = secrets.mask_secrets_in_range(text, 0, cursor)
        assert before.startswith(masked_above)
        assert secrets.mask_secrets_in_range(text, cursor, len(text)) == masked_below
        changes += not before.startswith(previous)
        previous = before
    assert changes <= 8  # once for each value, when it is complete, and at its first characters


def test_next_key_in_a_thousand_lines_searches_the_edited_line_only() -> None:
    lines = [f"    api_key_{number} = load_secret('name', {number})\n" for number in range(500)]
    text = "".join(lines)
    for typed in ("", "t", "to", "tok"):
        full = text + typed + "\n" + text
        before = secrets._find_in_block.cache_info().misses, secrets._find_in_short_line.cache_info().misses
        secrets.mask_secrets_in_range(full, 0, len(text) + len(typed))
        secrets.mask_secrets_in_range(full, len(text) + len(typed) + 1, len(full))
        after = secrets._find_in_block.cache_info().misses, secrets._find_in_short_line.cache_info().misses
        if typed:
            assert after[0] - before[0] <= 1
            assert after[1] - before[1] <= 1


@pytest.mark.parametrize("text", ["https://u:\x15\x1ehunter2@a.b/", "postgres://user:ab\x1c\x1dcd12@host/x"])
def test_blanks_within_a_secret_are_masked_wherever_a_range_ends(text: str) -> None:
    masked = secrets.mask_secrets(text)
    assert masked != text
    for start in range(len(text)):
        for end in range(start, len(text) + 1):
            assert secrets.mask_secrets_in_range(text, start, end) == masked[start:end]
