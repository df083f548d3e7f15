"""Takes pictures of the editors, light and dark: everything that the clients draw.

`make screenshots` installs the editors and runs this script. All pictures are written to `.cache/screenshots`; those
that documents show are copied to docs. Grey suggestions in one picture of each editor are those of the bundled model;
all other answers are recorded. SIDEKICK may name a checkout of sidekick.nvim, which shows next edits in Neovim.
Arguments: `vscode`, `neovim` or `jupyterlab` for one editor.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import jupyterlab_scenes  # noqa: E402
import neovim_scenes  # noqa: E402
import vscode_scenes  # noqa: E402

from isolation import isolated_environment  # noqa: E402

SHOWN = {
    "vscode-ghost-dark": "vscode",
    "vscode-next-edit-light": "next-edit",
    "vscode-notebook-light": "vscode-notebook",
    "jupyterlab-ghost-light": "jupyterlab",
    "neovim-next-edit-sidekick-dark": "next-edit-sidekick",
}
"""Pictures in documents, and the names that they have there."""


def main() -> int:
    target = ROOT / ".cache" / "screenshots"
    target.mkdir(parents=True, exist_ok=True)
    editors = {
        "neovim": neovim_scenes.photograph,
        "vscode": vscode_scenes.photograph,
        "jupyterlab": jupyterlab_scenes.photograph,
    }
    with isolated_environment(), tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or editors:
            (Path(folder) / name).mkdir()
            editors[name](target, Path(folder) / name)
    for name, shown in SHOWN.items():
        if (picture := target / f"{name}.png").is_file():
            shutil.copy(picture, ROOT / "docs" / f"{shown}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
