"""Options that several commands have, and the settings that they make.

Refuses to know the commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="`bundled`, a checkpoint folder, or a Hub id such as bigcode/starcoderbase-1b."),
]
AdapterOption = Annotated[str | None, typer.Option(help="An adapter: its name in the settings, or a folder or Hub id.")]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cuda, mps or cpu.")]
DtypeOption = Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16.")]
LanguageOption = Annotated[
    str | None, typer.Option(help="Language of the code, such as python; told by the file's name where it has one.")
]
SettingsOption = Annotated[
    Path | None,
    typer.Option("--settings", help="A settings file instead of the user's own (TOML).", show_default=False),
]


def overlay_of(
    model: str | None, adapter: str | None, device: str | None, dtype: str | None, file: Path | None = None
) -> dict[str, Any]:
    given = {"name": model, "device": device, "dtype": dtype}
    overlay: dict[str, Any] = {"model": {key: value for key, value in given.items() if value is not None}}
    if adapter is not None:
        from starcoder_ls.commands.support import adapter_option

        overlay |= adapter_option.overlay(adapter, overlay, file)
    return overlay
