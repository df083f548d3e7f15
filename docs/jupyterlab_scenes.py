"""What is photographed in JupyterLab, in its dark and its light theme."""

from __future__ import annotations

import time
from pathlib import Path

from screenshot_texts import NOTEBOOK_CELLS, NOTEBOOK_FILE, NOTEBOOK_TYPED

import jupyterlab_driver
from vscode import BUNDLED_SERVER

SIZE = {"width": 1000, "height": 460}
THEMES = {"dark": "JupyterLab Dark", "light": "JupyterLab Light"}


def photograph(target: Path, folder: Path) -> None:
    with jupyterlab_driver.running(folder) as lab:
        lab.start(BUNDLED_SERVER)
        for name, theme in THEMES.items():
            lab.write_settings({}, {"apputils-extension/themes": {"theme": theme}})
            notebook = lab.open(NOTEBOOK_FILE, *NOTEBOOK_CELLS)
            notebook.page.set_viewport_size(SIZE)
            notebook.wait_for_status("bundled")
            notebook.press("Control+b")  # without the file browser
            notebook.type_in_cell(len(NOTEBOOK_CELLS) - 1, NOTEBOOK_TYPED)
            notebook.wait_for_ghost()
            time.sleep(2.0)  # until the kernel and the status item have stopped changing
            notebook.page.screenshot(path=target / f"jupyterlab-ghost-{name}.png")
            notebook.close()
