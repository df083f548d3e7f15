from pathlib import Path

import pytest

from starcoder_ls import settings
from starcoder_ls.errors import SettingsError


@pytest.fixture(autouse=True)
def _without_user_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STARCODER_LS_SETTINGS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "empty"))


def test_options_override_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[model]\nname = "from/file"\ndevice = "cpu"\n')
    loaded = settings.load({"model": {"name": "from/option"}}, file=file)
    assert (loaded.model.name, loaded.model.device) == ("from/option", "cpu")
    assert loaded.inline_completion == settings.InlineCompletion()


def test_model_option_does_not_inherit_what_belongs_to_another_model(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[model]\nname = "a/chat"\nrevision = "v1"\ntasks = ["instruct"]\ntemplate = "{question}"\n')
    other, same = (settings.load({"model": {"name": name}}, file=file).model for name in ("b/base", "a/chat"))
    assert other == settings.Model(name="b/base")
    assert (same.revision, same.tasks, same.template) == ("v1", ("instruct",), "{question}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[model]\nnam = 'x'\n", "model.nam"),
        ("[model]\ndevice = 'abacus'\n", "abacus"),
        ("[model]\nname = ''\n", "model.name"),
        ("[inline_completion]\ncandidates = 99\n", "inline_completion.candidates"),
        ("[model\n", "not valid TOML"),
        ("a = " + "[" * 3000, "not valid TOML: it is nested too deeply"),
        ("a = " + "9" * 5000, "not valid TOML"),
        ("[model]\nthreads = 0x" + "f" * 5000, "`model.threads` cannot be a very long number"),
        ("[feedback]\nkeep_days = 99999999999999999999", "feedback.keep_days"),
        ("[inline_completion]\nbudget_ms = 99999999999999999999", "inline_completion.budget_ms"),
    ],
)
def test_invalid_file_is_rejected_with_its_name_and_the_key(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"settings\.toml") as caught:
        settings.load(file=file)
    assert expected in str(caught.value)


def test_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(b"\xef\xbb\xbf[model]\nname = 'a/b'\n")
    assert settings.load(file=file).model.name == "a/b"


def test_missing_or_unreadable_named_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="no settings file"):
        settings.load(file=tmp_path / "none.toml")
    monkeypatch.setenv("STARCODER_LS_SETTINGS", str(tmp_path / "none.toml"))
    with pytest.raises(SettingsError, match="no settings file"):
        settings.load()
    monkeypatch.setenv("STARCODER_LS_SETTINGS", str(tmp_path))
    with pytest.raises(SettingsError, match="cannot be read"):
        settings.load()
