"""The headless browser that shows VS Code and JupyterLab to tests and to the script of the screenshots."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]


@contextlib.contextmanager
def running_browser() -> Iterator[Any]:
    """A Chromium, the one that `CHROMIUM` names if it is set. Skips the test without the package playwright."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=_ARGUMENTS
        )
        try:
            yield browser
        finally:
            browser.close()
