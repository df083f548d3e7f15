from __future__ import annotations

import pytest

from starcoder_ls.notebooks.magics import comment_magics, language_of_cell, mask_magics

CELL = "%matplotlib inline\n!pip install numpy\n    %timeit f()\nx = 7 \\\n    % 3\ny = (a\n  %(b))\nif a != b: pass\n"


def test_magics_are_masked_at_equal_length() -> None:
    masked = mask_magics(CELL)
    assert len(masked) == len(CELL)
    assert masked.startswith("#matplotlib inline\n#pip install numpy\n    #timeit f()\nx = 7")


def test_expressions_with_a_percent_sign_are_no_magics() -> None:
    expressions = CELL[CELL.index("x = 7") :]
    assert mask_magics(expressions) == comment_magics(expressions) == expressions


def test_magics_are_commented_as_jupytext_does() -> None:
    assert comment_magics("%%time\n!ls ~\n  %run x.py\nx = 1") == "# %%time\n# !ls ~\n  # %run x.py\nx = 1"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("%%bash\nls", "shellscript"),
        ("\n%%html\n<p>", "html"),
        ("%%time\nx = 1", "python"),
        ("%%my_own\nx", "python"),
        ("x = 1\n%%bash\n", "python"),
        ("%%writefile a.txt\nx", "plaintext"),
    ],
)
def test_cell_magic_decides_the_language_of_the_cell(text: str, language: str) -> None:
    assert language_of_cell(text, "python") == language
    assert language_of_cell(text, "r") == "r"
