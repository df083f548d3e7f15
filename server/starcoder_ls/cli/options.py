"""Options that several commands share, and the settings that follow from them."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from starcoder_ls.daemon.launch_options import LOCAL

ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="`bundled`, a checkpoint folder, or a Hub id such as bigcode/starcoderbase-1b."),
]
AdapterOption = Annotated[str | None, typer.Option(help="An adapter: a name in the settings, a folder or a Hub id.")]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cuda, mps or cpu.")]
DtypeOption = Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16.")]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine", metavar="URL", help="A vLLM or llama.cpp server that runs the model, or `local`. See docs/teams.md."
    ),
]
LanguageOption = Annotated[
    str | None, typer.Option(help="Language of the code, such as python. Default: by the file name.")
]
SettingsOption = Annotated[
    Path | None,
    typer.Option("--settings", help="A settings file instead of the user's own (TOML).", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")]
UntrustedCodeOption = Annotated[
    bool, typer.Option("--run-untrusted-code", help="Run the programs that the model writes.")
]


class PositionCommand(TyperCommand):
    """A command whose argument may begin with a hyphen: ``-:3:1`` is a position in standard input.

    Unknown options are arguments to it, so that long ones are checked here.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        options = {name: option for option in self.params for name in (*option.opts, *option.secondary_opts)}
        is_value = False
        for argument in args:
            name = argument.partition("=")[0]
            if name.startswith("--") and name not in options and name != "--help" and not is_value:
                similar = get_close_matches(name, options, 1)
                ctx.fail(f"No such option: {name}.{f' Did you mean {similar[0]}?' if similar else ''}")
            is_value = argument in options and not getattr(options[argument], "is_flag", False)
        return super().parse_args(ctx, args)


def overlay_of(
    model: str | None,
    adapter: str | None,
    device: str | None,
    dtype: str | None,
    settings_file: Path | None = None,
    engine: str | None = None,
) -> dict[str, Any]:
    """The settings tree of the options; None means not given. Raises SettingsError for an unknown adapter."""
    options = {"name": model, "device": device, "dtype": dtype}
    overlay: dict[str, Any] = {"model": {key: value for key, value in options.items() if value is not None}}
    if engine is not None:
        overlay["remote"] = {"url": "" if engine == LOCAL else engine}
    if adapter is not None:
        from starcoder_ls.commands.support import adapter_option

        overlay |= adapter_option.overlay(adapter, overlay, settings_file)
    return overlay
