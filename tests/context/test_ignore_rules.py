from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls.context.ignore_rules import IgnoreRules

SECRET = [
    ".env", ".env.local", "config/.env.production", "prod.env", ".envrc", "server.pem", "tls/site.key", "id_rsa",
    "id_ed25519.pub", "credentials", "credentials.json", "secrets.yaml", "secrets/prod/a.yml", ".aws/config",
    ".ssh/known_hosts", ".npmrc", ".netrc", "kubeconfig", "x.tfstate", "auth.json", "service-account-prod.json",
    "keys/store.jks", "App.P12", ".ENV", "a/.git-credentials", "certs/a.py", "appsettings.Development.json",
]  # fmt: skip
HARMLESS = [
    "app.py", "environment.py", "env.py", "src/auth.py", "auth/login.py", "secrets.py", "credentials.go",
    "keys/keys.ts", "config.json", "settings.json", "private/view.cpp", "token.rs", "service_account.py",
    "password.java", "tokens/a.py",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET)
def test_name_that_says_secret_keeps_a_file_out(tmp_path: Path, name: str) -> None:
    reason = IgnoreRules([tmp_path]).reason(tmp_path / name)
    assert reason is not None
    assert "looks like a secret" in reason


@pytest.mark.parametrize("name", HARMLESS)
def test_name_that_is_just_code_does_not(tmp_path: Path, name: str) -> None:
    assert IgnoreRules([tmp_path]).reason(tmp_path / name) is None


def test_secret_words_above_the_workspace_are_the_users_own_business(tmp_path: Path) -> None:
    root = tmp_path / "secrets" / "project"
    assert IgnoreRules([root]).reason(root / "a.py") is None
    assert IgnoreRules([]).reason(root / "a.py") is not None
    assert IgnoreRules([tmp_path / ".ssh"]).reason(tmp_path / ".ssh" / "config") is not None


@pytest.mark.parametrize("uri", ["git:/project/.env?ref", "untitled:.env", "vscode-vfs://github/o/r/.env.local"])
def test_what_is_no_file_has_a_name_all_the_same(uri: str) -> None:
    assert IgnoreRules([]).reason_of_uri(uri, "") is not None
    assert IgnoreRules([]).reason_of_uri("untitled:Untitled-1", "") is None
    assert IgnoreRules([]).reason_of_uri("", "") is None


def test_ignore_files_hold_at_every_level_and_the_nearest_decides(tmp_path: Path) -> None:
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / ".gitignore").write_text("*.gen.py\nbuild/\n/only_top.py\n")
    (tmp_path / "sub" / ".gitignore").write_text("!kept.gen.py\nlocal.py\n")
    rules = IgnoreRules([tmp_path])
    assert rules.reason(tmp_path / "a.gen.py") == ".gitignore names it"
    assert rules.reason(tmp_path / "sub" / "deep" / "a.gen.py") is not None
    assert rules.reason(tmp_path / "sub" / "deep" / "kept.gen.py") is None
    assert rules.reason(tmp_path / "sub" / "local.py") is not None
    assert rules.reason(tmp_path / "local.py") is None
    assert rules.reason(tmp_path / "only_top.py") is not None
    assert rules.reason(tmp_path / "sub" / "only_top.py") is None
    assert rules.reason(tmp_path / "sub" / "build" / "any" / "a.py") is not None


def test_our_own_ignore_file_comes_before_gits_and_the_users_list_before_both(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("generated/\n")
    (tmp_path / ".starcoderignore").write_text("!generated/\nlegacy/\n")
    rules = IgnoreRules([tmp_path], ["!legacy/fine.py", "vendor/", "!docs/.env.example"])
    assert rules.reason(tmp_path / "generated" / "a.py") is None
    assert rules.reason(tmp_path / "legacy" / "a.py") == ".starcoderignore names it"
    assert rules.reason(tmp_path / "legacy" / "fine.py") is None
    assert rules.reason(tmp_path / "vendor" / "a.py") == "`context.ignore` names it"
    assert rules.reason(tmp_path / "docs" / ".env.example") is None


def test_rules_of_the_repository_hold_in_a_workspace_that_is_a_part_of_it(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("out.py\n")
    (tmp_path / "part").mkdir()
    assert IgnoreRules([tmp_path / "part"]).reason(tmp_path / "part" / "out.py") is not None
    assert IgnoreRules([]).reason(tmp_path / "part" / "out.py") is not None
    assert IgnoreRules([]).reason(tmp_path / "part" / "in.py") is None


def test_a_link_is_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1")
    (tmp_path / "notes.py").symlink_to(tmp_path / ".env")
    (tmp_path / "again.py").symlink_to(tmp_path / "again.py")
    assert IgnoreRules([tmp_path]).reason(tmp_path / "notes.py") is not None
    assert IgnoreRules([tmp_path]).reason(tmp_path / "again.py") is None


def test_new_rules_hold_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    rules = IgnoreRules([tmp_path])
    assert rules.reason(tmp_path / "a.py") is None
    (tmp_path / ".gitignore").write_text("a.py\n")
    now[0] += 2
    assert rules.reason(tmp_path / "a.py") is not None
    (tmp_path / ".gitignore").unlink()
    now[0] += 2
    assert rules.reason(tmp_path / "a.py") is None


def test_rules_that_cannot_be_read_or_understood_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"\xff\xfe[\n!\n\\\nb.py\n")
    (tmp_path / ".starcoderignore").mkdir()
    assert IgnoreRules([tmp_path]).reason(tmp_path / "b.py") is not None
    assert IgnoreRules([tmp_path]).reason(tmp_path / "c.py") is None
