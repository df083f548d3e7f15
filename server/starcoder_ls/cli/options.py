"""Options that several commands share, and the settings that follow from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="`bundled`, a checkpoint folder, or a Hub id such as bigcode/starcoderbase-1b."),
]
AdapterOption = Annotated[str | None, typer.Option(help="An adapter: a name in the settings, a folder or a Hub id.")]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cuda, mps or cpu.")]
DtypeOption = Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16.")]
LanguageOption = Annotated[
    str | None, typer.Option(help="Language of the code, such as python. Default: by the file name.")
]
SettingsOption = Annotated[
    Path | None,
    typer.Option("--settings", help="A settings file instead of the user's own (TOML).", show_default=False),
]


def overlay_of(
    model: str | None, adapter: str | None, device: str | None, dtype: str | None, settings_file: Path | None = None
) -> dict[str, Any]:
    """The settings tree of the options; None means not given. Raises SettingsError for an unknown adapter."""
    options = {"name": model, "device": device, "dtype": dtype}
    overlay: dict[str, Any] = {"model": {key: value for key, value in options.items() if value is not None}}
    if adapter is not None:
        from starcoder_ls.commands.support import adapter_option

        overlay |= adapter_option.overlay(adapter, overlay, settings_file)
    return overlay
