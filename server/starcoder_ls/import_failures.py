"""Modules that cannot be imported: a package is damaged, missing, or was replaced while the process ran.

Such a process has to end: Python cannot import a package such as torch again, since its compiled parts stay loaded.
"""

from __future__ import annotations

import traceback


def explain_import_failure(error: BaseException) -> str | None:
    """A sentence for the user if ``error``, or its cause, was raised by an import or while a module was executed."""
    cause: BaseException | None = error
    while cause is not None and not _is_import_failure(cause):
        cause = cause.__cause__
    if cause is None:
        return None
    reason = " ".join(f"{type(cause).__name__}: {cause}".split())
    return (
        f"A package that the model needs cannot be imported ({reason:.300}). Repair the installation of your packages, "
        "then ask again or restart the server. `starcoder-ls logs` has the details."
    )


def _is_import_failure(error: BaseException) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    return isinstance(error, ImportError) or any(frame.f_code.co_name == "<module>" for frame, _ in frames)
