"""What is photographed in JupyterLab, in its dark and its light theme."""

from __future__ import annotations

import time
from pathlib import Path

import jupyterlab_driver
from vscode import BUNDLED_SERVER

SIZE = {"width": 1000, "height": 460}
THEMES = {"dark": "JupyterLab Dark", "light": "JupyterLab Light"}
CELLS = (
    "import csv\n\n\ndef total_of_rows(table, column):\n    return sum(float(row[column]) for row in table)",
    'with open("orders.csv", newline="") as file:\n    orders = list(csv.DictReader(file))',
    "",
)
TYPED = 'with open("totals.csv", '


def photograph(target: Path, folder: Path) -> None:
    with jupyterlab_driver.running(folder) as lab:
        lab.start(BUNDLED_SERVER)
        for name, theme in THEMES.items():
            lab.write_settings({}, {"apputils-extension/themes": {"theme": theme}})
            notebook = lab.open("orders.ipynb", *CELLS)
            notebook.page.set_viewport_size(SIZE)
            notebook.wait_for_status("bundled")
            notebook.press("Control+b")  # without the file browser
            notebook.type_in_cell(len(CELLS) - 1, TYPED)
            notebook.wait_for_ghost()
            time.sleep(2.0)  # until the kernel and the status item have stopped changing
            notebook.page.screenshot(path=target / f"jupyterlab-ghost-{name}.png")
            notebook.close()
