"""Unfinished code ends after its last complete statement, and what is left can be parsed."""

from __future__ import annotations

import pytest

from starcoder_ls.syntax.complete_prefix import complete_prefix
from starcoder_ls.syntax.items import read_items

GO = """package a

func TestFind(t *testing.T) {
	stops := []Stop{
		{Name: "A"},
		{Name: "B"},
	}
	if len(stops) != 2 {
		t.Fatal("two")
	}
	more := []Stop{
		{Name: "}"},
		{Na"""
SCRIPT = """test('empty', () => {
  const found = count([]);
  expect(found).toEqual({
    a: 1,
    b"""
JAVA = """class LedgerTest {
    @Test
    void balance() {
        assertEquals(1, ledger.balance());
    }

    @Test
    void debts() {
        int[] some = {1, 2};
        assertEquals("}", led"""
PYTHON = """class TestScarce(unittest.TestCase):
    def test_limit(self):
        # none
        limit = 1
        self.assertEqual(scarce(
            items,
            limit), [])

        # all
        for limit in range(3):
            lim"""


@pytest.mark.parametrize(
    ("language", "code", "end"),
    [
        ("go", GO, '\t\tt.Fatal("two")\n\t}\n}'),
        ("typescript", SCRIPT, "  const found = count([]);\n})"),
        ("java", JAVA, "        int[] some = {1, 2};\n    }\n}"),
        ("python", PYTHON, "            items,\n            limit), [])"),
    ],
)
def test_code_is_cut_after_its_last_statement_and_closed(language: str, code: str, end: str) -> None:
    kept = complete_prefix(code, language)
    assert kept.endswith(end)
    assert read_items(kept, language)


@pytest.mark.parametrize("code", ["", "x =", "def f():\n    x =", "x = [\n" + "    1,\n" * 80])
def test_nothing_is_kept_without_a_complete_statement(code: str) -> None:
    assert complete_prefix(code, "python") == ""


def test_unfinished_line_alone_is_removed_without_a_grammar() -> None:
    assert complete_prefix("a = 1\n\nif b then\n  c =", "lua") == "a = 1\n\nif b then"


@pytest.mark.parametrize("language", ["go", "typescript", "java", "python"])
def test_every_cut_of_a_text_leaves_code_that_can_be_parsed(language: str) -> None:
    code = {"go": GO, "typescript": SCRIPT, "java": JAVA, "python": PYTHON}[language]
    for length in range(len(code)):
        kept = complete_prefix(code[:length], language)
        assert read_items(kept, language) is not None
        assert "\n".join(kept.split("\n")[:1]) == code.split("\n")[0] or not kept
