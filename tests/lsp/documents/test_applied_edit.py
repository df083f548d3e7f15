import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.lsp.documents.applied_edit import AppliedEdit, minimal_edit

TEXTS = st.text("ab\n", max_size=12)


@given(TEXTS, TEXTS)
def test_minimal_edit_turns_the_old_text_into_the_new_one(old: str, new: str) -> None:
    edit = minimal_edit(old, new)
    assert old[: edit.start] + new[edit.start : edit.start + edit.chars] + old[edit.end :] == new


@given(TEXTS, TEXTS, TEXTS)
def test_minimal_edit_leaves_out_what_both_texts_share(start: str, inserted: str, end: str) -> None:
    edit = minimal_edit(start + end, start + inserted + end, offset=7)
    assert edit.start - 7 >= len(start) or not inserted
    assert (edit.end - edit.start, edit.chars) == (0, len(inserted))


@pytest.mark.parametrize(
    ("old", "new", "edit"),
    [
        ("on", "one(two)", AppliedEdit(7, "", "e(two)")),  # an entry of a menu replaces the word before the cursor
        ("abc", "", AppliedEdit(5, "abc", "")),
        ("same", "same", AppliedEdit(9, "", "")),
    ],
)
def test_minimal_edit_counts_from_its_offset(old: str, new: str, edit: AppliedEdit) -> None:
    assert minimal_edit(old, new, offset=5) == edit
