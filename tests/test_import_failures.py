from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls.import_failures import explain_import_failure


def error_of_import(folder: Path, source: str) -> Exception:
    """The error that the import of a module with this source raises."""
    (folder / "broken_module.py").write_text(source)
    with pytest.MonkeyPatch.context() as environment:
        environment.syspath_prepend(str(folder))
        with pytest.raises(Exception) as raised:  # noqa: PT011 - of any type
            import broken_module  # type: ignore[import-not-found]  # noqa: F401
    return raised.value


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import missing_package_x", "ModuleNotFoundError: No module named 'missing_package_x'"),
        (
            "raise OSError('libcudart.so.12: cannot open\\n  shared object file')",
            "OSError: libcudart.so.12: cannot open",
        ),
        ("def f(): return undefined\nf()", "NameError: name 'undefined' is not defined"),
        (
            "try:\n  import missing_x\nexcept ImportError as e:\n  raise RuntimeError('model') from e",
            "RuntimeError: model",
        ),
    ],
)
def test_errors_of_a_module_are_failures_of_its_import(tmp_path: Path, source: str, reason: str) -> None:
    sentence = explain_import_failure(error_of_import(tmp_path, source))
    assert sentence is not None
    assert f"cannot be imported ({reason}" in sentence
    assert "\n" not in sentence


def test_cause_of_an_error_may_be_a_failed_import() -> None:
    error = RuntimeError("Failed to import transformers.models.llama")
    error.__cause__ = ImportError("libtorch.so")
    assert "(ImportError: libtorch.so)" in str(explain_import_failure(error))


def test_other_errors_are_no_failed_imports() -> None:
    def fail() -> None:
        raise ValueError("weights")

    with pytest.raises(ValueError, match="weights") as raised:
        fail()
    assert explain_import_failure(raised.value) is None
