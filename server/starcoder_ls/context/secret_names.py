"""Names of files that hold secrets, by custom or because a program writes them.

Decides by the name alone. A file of source code or documentation is never excluded by its name or by a folder such as
``certificates``; only the folders that programs keep their secrets in (``.ssh``) exclude everything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import re2

from starcoder_ls.languages.table import SOURCE_SUFFIXES

_FOLDERS = frozenset({".aws", ".azure", ".gcp", ".gcloud", ".kube", ".docker", ".ssh", ".gnupg", ".gpg", ".secrets",
                      ".private", ".password-store", ".terraform.d"})  # fmt: skip
_FOLDERS_IN_WORKSPACE = re.compile(
    r"secrets?|credentials?|certs|certificates|private[-_]?keys|\.?(?:.*[._-])?env|\.(?:credentials|secret)"
)
"""The path of the workspace itself may contain these names: they count below the workspace folder only."""

_OTHER_CODE = """
adoc astro awk bat blade bzl cmake cmd d ejs erb f90 fish gradle graphql hbs hcl hrl htm inl ipynb j2 jinja
less mdx move nix org pas phtml po pot pug rst sass sed sol styl sv t tf twig v vb vhd xhtml
"""
"""Templates, documentation, and code of languages that ``languages.table`` has no entry for."""

_CODE = frozenset(_OTHER_CODE.split()) | {suffix.removeprefix(".") for suffix in SOURCE_SUFFIXES}

_DATA = (
    r"(?:\.(?:jsonc?|json5|ya?ml|toml|ini|cfg|cnf|conf|config|xml|properties|plist|txt|csv|tsv|env|enc|db|dat|bin|log"
    r"|pickle|age|tfvars|auto|sops|b64|[a-z]*rc))*"
)
_START = r"(?:.*[_.-])?"
_BACKUP = re.compile(
    r"(?:~+|#|\.(?:bak|back|backup|old|orig|original|save|saved|swp|swo|tmp|copy|prev|rej|dist|disabled|off|[0-9]{1,8}))+\Z"
    r"|[-_ ](?:bak|backup|old|copy|orig)\Z"
)

_ALWAYS = re.compile(r"""\.env(?:rc)?(?:[._~-].*)?|wp-config(?:-\w+)?\.php|config/master\.key""")
_NAME_PATTERN: Final = rf"""\.?env[._-](?:prod|production|stag|staging|stage|local|dev|devel|development|test|testing
      |live|secrets?|qa|uat|ci|docker|private|remote)(?:\..*)?
    |.*\.env(?:[._-].*)?|\.flaskenv|\.dev\.vars(?:\..*)?
    |.*\.(?:key|pem|p12|pfx|p8|pkcs12|crt|cer|der|jks|jceks|bks|keystore|truststore|keytab|ppk|gpg|pgp|asc|skr|kdbx?|agekey|age
      |psafe3|ovpn|mobileprovision|secrets?|tokens?|creds?|credentials?|password|tfvars|tfstate|keyfile|kubeconfig|agilekeychain|opvault)
    |.*\.(?:tfvars|tfstate)\.json|.*\.(?:yml|yaml|json|toml)\.enc
    |{_START}(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?(?:[_-][\w-]*)?(?:\.(?:pub|txt|priv|private|ppk))?
    |{_START}(?:deploy|private|priv|ssh|host|signing|master|service|server|client|access|api|secret|encryption|license|gcp|gcs|gcloud|aws|azure
      |firebase|google|account|admin|sa|ssl|tls|auth|root|vpn|wireguard|wg|storage|openai)[_.-]?keys?(?:[_-](?:prod|dev|staging|test|old|backup))?{_DATA}
    |{_START}(?:passwords?|passwd|passphrases?|passwds|secrets?|credentials?|creds)(?:[_.-][\w-]*)?{_DATA}
    |{_START}(?:access|auth|api|oauth2?|refresh|id|bearer|github|gh|gitlab|vault|slack|bot|npm|deploy|hf|session|jwt)[_.-]?tokens?{_DATA}
    |\.?tokens?{_DATA}
    |{_START}(?:recovery|backup)[_-]?(?:codes?|keys?|phrase){_DATA}|{_START}(?:seed[_-]?phrase|mnemonic){_DATA}
    |\.[\w-]+[_-]history(?:[.-]\w+)?|\.z?history|\.histfile|fish_history|consolehost_history\.txt|\.(?:lesshst|viminfo|wget-hsts)
    |[._]?(?:netrc|pgpass(?:\.conf)?|htpasswd|htdigest|dockercfg|dockerconfigjson|git-credentials|smbcredentials|mylogin\.cnf|my\.cnf)
    |\.(?:npmrc|yarnrc(?:\.yml)?|pypirc|s3cfg|boto|databrickscfg|terraformrc|curlrc|wgetrc|muttrc|msmtprc|esmtprc|fetchmailrc|rhosts|cvspass
      |mc|passwd-s3fs|snowsql|bigqueryrc|oci|pip/pip\.conf)|passwd-s3fs|shadow|gshadow|rclone\.conf|terraform\.rc
    |{_START}vault[_-]?(?:token|pass\w*|key\w*|secret\w*){_DATA}
    |auth\.json|kaggle\.json|{_START}client[_-]secrets?.*\.json|{_START}service[-_]?account[^.]*\.json|.*firebase[_-]?adminsdk.*\.json
    |{_START}kube[_-]?config(?:[._-].*)?|appsettings\.[^.]+\.json|local\.settings\.json|settings-security\.xml|gh/hosts\.ya?ml|gcloud/.*
    |wg[0-9]+\.conf|logins\.json|key[34]\.db|cookies\.(?:sqlite|txt|db|json)|login\sdata|wallet\.dat|secring\.\w+
    |rootkey\.csv|{_START}access[_-]?keys\.csv|sftp(?:-config)?\.json|sitemanager\.xml|recentservers\.xml|filezilla\.xml|unattend\.xml
    |datasources\.local\.xml|robomongo\.json"""
"""Based on Continue's list and on those of gitleaks and GitHub's gitignore templates, without names that are rarely
secrets (``config.json``, ``settings.json``, ``keys/``)."""

_NAME: Final[Any] = re2.compile(b"(?s)" + "".join(_NAME_PATTERN.split()).encode())
_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_MAX_NAME_CHARS = 255


def find_secret_name(parts: Sequence[str], relative_parts: Sequence[str], is_folder: bool = False) -> str | None:
    """The first secret-looking name in a path; ``relative_parts`` are those below the workspace folder.

    A folder is judged by the folders that exclude everything; whatever else is in it is judged file by file.
    """
    for part in parts if is_folder else parts[:-1]:
        if part.lower() in _FOLDERS:
            return part
    if is_folder or not relative_parts:
        return None
    name = relative_parts[-1]
    if name.lower() in _FOLDERS or _is_always_secret(name):
        return name
    if _is_code(name):
        return None
    for part in relative_parts[:-1]:
        if _FOLDERS_IN_WORKSPACE.fullmatch(part.lower()):
            return part
    return name if _is_secret_file(name, relative_parts[-2] if len(relative_parts) > 1 else "") else None


def _is_code(name: str) -> bool:
    _, dot, suffix = name.lower().rpartition(".")
    return bool(dot) and suffix in _CODE


def _is_always_secret(name: str) -> bool:
    return _ALWAYS.fullmatch(_strip_backup(name.lower())) is not None


def _is_secret_file(name: str, folder: str) -> bool:
    """By the name itself, or by the name in words: ``serviceAccountKey.json`` is ``service_account_key.json``."""
    name = _strip_backup(name[-_MAX_NAME_CHARS:])
    variants = {name.lower(), _CAMEL_CASE.sub("_", name).lower(), f"{folder}/{name}".lower()}
    candidates = [variant for variant in variants if not _is_code(variant)]
    return any(_NAME.fullmatch(candidate.encode("ascii", "replace")) for candidate in candidates)


def _strip_backup(name: str) -> str:
    """Without what editors and people append to copies: ``.env~``, ``#.env#``, ``id_rsa.bak``."""
    stripped = _BACKUP.sub("", name.removeprefix("#").removeprefix(".#"))
    return stripped or name
