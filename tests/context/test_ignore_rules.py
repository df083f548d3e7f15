from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls.context.ignore_rules import IgnoreRules
from stepped_engine import ManualClock

SECRET = [
    ".env", ".env.local", "config/.env.production", "prod.env", ".envrc", "server.pem", "tls/site.key", "id_rsa",
    "id_ed25519.pub", "credentials", "credentials.json", "secrets.yaml", "secrets/prod/a.yml", ".aws/config",
    ".ssh/known_hosts", ".npmrc", ".netrc", "kubeconfig", "x.tfstate", "auth.json", "service-account-prod.json",
    "keys/store.jks", "App.P12", ".ENV", "a/.git-credentials", "certs/a.txt", "appsettings.Development.json",
]  # fmt: skip
ORDINARY = [
    "app.py", "environment.py", "env.py", "src/auth.py", "auth/login.py", "secrets.py", "credentials.go",
    "keys/keys.ts", "config.json", "settings.json", "private/view.cpp", "token.rs", "service_account.py",
    "password.java", "tokens/a.py", "pkg/certificates/signer.go", "secrets/store.py",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET)
def test_secret_looking_name_excludes_a_file(tmp_path: Path, name: str) -> None:
    reason = IgnoreRules([tmp_path]).exclusion_reason(tmp_path / name)
    assert reason is not None
    assert "looks like a secret" in reason


@pytest.mark.parametrize("name", ORDINARY)
def test_name_of_ordinary_code_does_not_exclude(tmp_path: Path, name: str) -> None:
    assert IgnoreRules([tmp_path]).exclusion_reason(tmp_path / name) is None


def test_secret_words_in_the_workspaces_own_path_do_not_exclude(tmp_path: Path) -> None:
    root = tmp_path / "secrets" / "project"
    assert IgnoreRules([root]).exclusion_reason(root / "a.py") is None
    assert IgnoreRules([]).exclusion_reason(root / "a.txt") is not None
    assert IgnoreRules([tmp_path / ".ssh"]).exclusion_reason(tmp_path / ".ssh" / "config") is not None


@pytest.mark.parametrize("uri", ["git:/project/.env?ref", "untitled:.env", "vscode-vfs://github/o/r/.env.local"])
def test_document_that_is_not_a_file_is_excluded_by_its_name(uri: str) -> None:
    assert IgnoreRules([]).exclusion_reason_of_document(uri, "") is not None
    assert IgnoreRules([]).exclusion_reason_of_document("untitled:Untitled-1", "") is None
    assert IgnoreRules([]).exclusion_reason_of_document("", "") is None


def test_nearest_matching_gitignore_decides(tmp_path: Path) -> None:
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / ".gitignore").write_text("*.gen.py\nbuild/\n/only_top.py\n")
    (tmp_path / "sub" / ".gitignore").write_text("!kept.gen.py\nlocal.py\n")
    rules = IgnoreRules([tmp_path])
    assert rules.exclusion_reason(tmp_path / "a.gen.py") == ".gitignore names it"
    assert rules.exclusion_reason(tmp_path / "sub" / "deep" / "a.gen.py") is not None
    assert rules.exclusion_reason(tmp_path / "sub" / "deep" / "kept.gen.py") is None
    assert rules.exclusion_reason(tmp_path / "sub" / "local.py") is not None
    assert rules.exclusion_reason(tmp_path / "local.py") is None
    assert rules.exclusion_reason(tmp_path / "only_top.py") is not None
    assert rules.exclusion_reason(tmp_path / "sub" / "only_top.py") is None
    assert rules.exclusion_reason(tmp_path / "sub" / "build" / "any" / "a.py") is not None


def test_settings_come_before_starcoderignore_and_that_before_gitignore(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("generated/\n")
    (tmp_path / ".starcoderignore").write_text("!generated/\nlegacy/\n")
    rules = IgnoreRules([tmp_path], ["!legacy/fine.py", "vendor/", "!docs/.env.example"])
    assert rules.exclusion_reason(tmp_path / "generated" / "a.py") is None
    assert rules.exclusion_reason(tmp_path / "legacy" / "a.py") == ".starcoderignore names it"
    assert rules.exclusion_reason(tmp_path / "legacy" / "fine.py") is None
    assert rules.exclusion_reason(tmp_path / "vendor" / "a.py") == "`context.ignore` names it"
    assert rules.exclusion_reason(tmp_path / "docs" / ".env.example") is None


def test_gitignore_of_the_repository_applies_in_a_folder_of_it(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("out.py\n")
    (tmp_path / "part").mkdir()
    assert IgnoreRules([tmp_path / "part"]).exclusion_reason(tmp_path / "part" / "out.py") is not None
    assert IgnoreRules([]).exclusion_reason(tmp_path / "part" / "out.py") is not None
    assert IgnoreRules([]).exclusion_reason(tmp_path / "part" / "in.py") is None


def test_link_to_an_excluded_file_is_excluded(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1")
    (tmp_path / "notes.py").symlink_to(tmp_path / ".env")
    (tmp_path / "again.py").symlink_to(tmp_path / "again.py")
    assert IgnoreRules([tmp_path]).exclusion_reason(tmp_path / "notes.py") is not None
    assert IgnoreRules([tmp_path]).exclusion_reason(tmp_path / "again.py") is None


def test_root_that_is_a_link_is_judged_like_the_folder_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "secrets" / ".git").mkdir(parents=True)
    (tmp_path / "secrets" / ".gitignore").write_text("out.py\n")
    root, link = tmp_path / "secrets" / "project", tmp_path / "link"
    root.mkdir()
    link.symlink_to(root)
    (root / "notes.py").symlink_to(tmp_path / ".env")
    for folder in (root, link):
        rules = IgnoreRules([folder], ["!/config/app.env"])
        assert rules.exclusion_reason(folder / "config" / "app.env") is None
        assert rules.exclusion_reason(folder / "data.yaml") is None
        assert rules.exclusion_reason(folder / "config" / "data.env") == "`data.env` looks like a secret"
        assert rules.exclusion_reason(folder / "notes.py") == "`.env` looks like a secret"
        assert rules.exclusion_reason(folder / "out.py") == ".gitignore names it"


def test_rules_of_nested_roots_apply_in_any_order_of_the_roots(tmp_path: Path) -> None:
    inner = tmp_path / "secrets" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / ".starcoderignore").write_text("legacy.py\n")
    for roots in ([tmp_path, inner], [inner, tmp_path]):
        rules = IgnoreRules(roots, ["/private/", ".*", "!/secrets/inner/.kept.yaml"])
        assert rules.exclusion_reason(inner / "private" / "x.py") == "`context.ignore` names it"
        assert rules.exclusion_reason(inner / "legacy.py") == ".starcoderignore names it"
        assert rules.exclusion_reason(inner / "data.yaml") == "`secrets` looks like a secret"
        assert rules.exclusion_reason(inner / ".kept.yaml") is None
        assert rules.exclusion_reason(inner / "x.py") is None
        assert rules.exclusion_reason(inner, is_folder=True) is None


def test_changed_ignore_file_applies_after_a_second(tmp_path: Path) -> None:
    clock = ManualClock()
    rules = IgnoreRules([tmp_path], clock=clock)
    assert rules.exclusion_reason(tmp_path / "a.py") is None
    (tmp_path / ".gitignore").write_text("a.py\n")
    clock.now_s += 1
    assert rules.exclusion_reason(tmp_path / "a.py") is not None
    (tmp_path / ".gitignore").unlink()
    clock.now_s += 1
    assert rules.exclusion_reason(tmp_path / "a.py") is None


def test_invalid_patterns_and_unreadable_ignore_files_are_skipped(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"\xff\xfe[\n!\n\\\nb.py\n")
    (tmp_path / ".starcoderignore").mkdir()
    assert IgnoreRules([tmp_path]).exclusion_reason(tmp_path / "b.py") is not None
    assert IgnoreRules([tmp_path]).exclusion_reason(tmp_path / "c.py") is None


@pytest.mark.parametrize("name", ["/".join("a" * 2000), "a" * 5000, "/".join("a" * 150)])
def test_path_that_is_too_long_is_excluded(tmp_path: Path, name: str) -> None:
    assert IgnoreRules([tmp_path]).exclusion_reason(tmp_path / name) == "its path is too long"


def test_name_longer_than_any_file_system_allows_is_decided(tmp_path: Path) -> None:
    assert IgnoreRules([tmp_path]).exclusion_reason(tmp_path / ("a" * 300) / "b.py") is None


def test_settings_with_too_many_patterns_exclude_everything(tmp_path: Path) -> None:
    rules = IgnoreRules([tmp_path], [f"n{number}*" for number in range(10_000)])
    reason = rules.exclusion_reason(tmp_path / "a.py")
    assert reason is not None
    assert reason.startswith("`context.ignore` cannot be evaluated")


@pytest.mark.parametrize("uri", ["file:///x/a%00.py", "untitled:a%00b", "untitled:\ud800"])
def test_document_with_a_name_that_no_file_can_have_is_decided(uri: str) -> None:
    assert IgnoreRules([]).exclusion_reason_of_document(uri, "") is None
    assert IgnoreRules([]).exclusion_reason_of_document("file:///x/.env%00", "") is not None


def test_reasons_for_paths_longer_than_any_file_has_are_not_kept() -> None:
    rules = IgnoreRules()
    assert rules.exclusion_reason_of_document("", "/" + "x" * 1_000_000) == "its path is too long"
    assert not rules._reasons
