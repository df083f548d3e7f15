"""``starcoder-ls train gate``: measures a trained adapter in held-out files, through a real server, and decides on it.

The servers of both sides get the user's settings without other adapters, so that only the candidate differs.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit

from starcoder_ls import settings
from starcoder_ls.commands.eval_holes import HoleSelection, ServerLaunch, measure
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.context.secrets import mask_secrets
from starcoder_ls.context.source_files import read_source
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation.gate import Code, HeldOutLoss, Side, Verdict, describe, run_gate
from starcoder_ls.evaluation.holes import SYNTAX_KINDS
from starcoder_ls.evaluation.results import Run

if TYPE_CHECKING:
    from starcoder_ls.learning.finetuning.versions import Version

_MAX_FOREIGN_FILES = 60


def run(name: str, version_name: str | None, foreign: Path | None, settings_file: Path | None) -> int:
    """Print the verdict on a version (None: the newest) and store it. The exit code is 0 if it passed, else 1.

    Raises SettingsError, ModelError (if the adapter cannot be loaded), EngineError.
    """
    from starcoder_ls.learning.finetuning.versions import GATE_FILE, AdapterVersions, write_json

    version = AdapterVersions(name).find(version_name)
    config = settings.load(file=settings_file)
    with tempfile.TemporaryDirectory() as folder:
        holes = GateHoles(version, config, Path(folder), foreign)
        verdict = judge(name, version, holes)
    write_json(version.folder / GATE_FILE, verdict.to_json())
    print(verdict.sentence)
    for guard in verdict.guards:
        print(f"{'✓' if guard.is_passed else '✗'} {guard.name}: {guard.sentence}")
    return 0 if verdict.is_passed else 1


def judge(name: str, version: Version, measure_side: GateHoles) -> Verdict:
    """The verdict on ``version``. Raises what the measurement raises."""
    losses = version.training["held_out_loss"]
    loss = HeldOutLoss(losses["base"]["middle_loss"], losses["adapted"]["middle_loss"])
    return run_gate(
        name, loss, measure_side, lambda: _read_texts(version), lambda result: stderr.print(describe(result))
    )


@dataclass(frozen=True, slots=True)
class GateHoles:
    """Measures one side: the base that the adapter was trained on, alone or with ``version``.

    ``folder`` is for temporary files. ``foreign`` is a folder of other code; None: a package of this installation.
    """

    version: Version
    config: settings.Settings
    folder: Path
    foreign: Path | None = None
    program: tuple[str, ...] = ()

    def __call__(self, side: Side, code: Code, holes: int, seed: int) -> Run:
        """Raises SettingsError, ModelError, EngineError."""
        per_kind = -(-holes // len(SYNTAX_KINDS))
        return measure(HoleSelection(self.paths(code), per_kind, seed), self.launch(side))

    def launch(self, side: Side) -> ServerLaunch:
        """The server of a side. Raises SettingsError if the settings cannot be written."""
        training = self.version.training
        is_candidate = side is Side.CANDIDATE
        model = str(self.version.folder) if is_candidate and training["is_checkpoint"] else training["base"]
        overlay: dict[str, Any] = {"model": {"name": model}}
        settings_file = self._write_settings()
        arguments = ["--model", model, "--settings", str(settings_file)]
        if is_candidate and not training["is_checkpoint"]:
            arguments += ["--adapter", str(self.version.folder)]
            adapter_name = settings_name(self.version.folder)
            overlay["adapters"] = {adapter_name: {"path": str(self.version.folder), "tasks": ["completion"]}}
        options = {"program": self.program} if self.program else {}
        return ServerLaunch(arguments, overlay, {}, settings_file, **options)

    def _write_settings(self) -> Path:
        """The user's settings without adapters."""
        file = self.folder / "settings.toml"
        tree = self.config.model_dump(mode="json", exclude_defaults=True, exclude_none=True, exclude={"adapters"})
        file.write_text(tomlkit.dumps(tree), encoding="utf-8")
        return file

    def paths(self, code: Code) -> list[Path]:
        """Where holes are drawn. Raises SettingsError if the held-out files are gone."""
        if code is Code.FOREIGN:
            return [self.foreign or _copy_package(self.folder / "foreign")]
        paths = [path for path in map(Path, self.version.training["held_out_files"]) if path.is_file()]
        if not paths:
            raise SettingsError(
                "None of the files that were held out exists any more, so the adapter cannot be measured. Train again."
            )
        return paths


def settings_name(folder: Path) -> str:
    """The name that `--adapter` gives to the adapter in ``folder``."""
    from starcoder_ls.commands.support.adapter_option import name_from_path

    return name_from_path(str(folder))


def _copy_package(folder: Path) -> Path:
    """A copy of a package that the bundled model was not trained on and that is installed with this program."""
    if not folder.exists():
        import rich

        folder.mkdir()
        files = sorted(Path(rich.__file__).parent.glob("*.py"), key=lambda file: file.name)
        for file in files[:_MAX_FOREIGN_FILES]:
            shutil.copyfile(file, folder / file.name)
    return folder


def _read_texts(version: Version) -> Iterator[str]:
    """The files that were trained on, as they are now."""
    for name in version.training["training_files"]:
        if (text := read_source(Path(name))) is not None:
            yield mask_secrets(text)


def require_passed(version: Version, gate: Mapping[str, Any]) -> None:
    """Raise SettingsError unless ``gate``, the stored verdict on ``version``, says that it passed."""
    if not gate:
        raise SettingsError(
            f"{version.name} was not measured. Run `starcoder-ls train gate {version.training.get('name', 'NAME')}` "
            "first, or add `--force`."
        )
    if not gate["is_passed"]:
        raise SettingsError(f"{gate['sentence']} Train with other options, or add `--force`.")
