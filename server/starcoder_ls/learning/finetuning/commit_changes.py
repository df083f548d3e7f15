"""The changes of source files in the history of git repositories, with secrets masked.

Decides which commits and files are used, by the rules for files on the disk (``repository_files``): what must not reach
a prompt, generated, vendored and minified files are left out. Merges, and commits that change very many files, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from starcoder_ls.context.ignore_files import find_repository
from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.context.secrets import mask_secrets
from starcoder_ls.context.source_files import MAX_FILE_BYTES, decode_source, is_skipped_folder, language_family
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning import sources
from starcoder_ls.learning.finetuning.commit_subjects import clean_subject
from starcoder_ls.learning.finetuning.git_command import read_log, run_git
from starcoder_ls.learning.finetuning.licence_headers import find_licence

MAX_COMMITS = 5_000
MAX_FILES_PER_COMMIT = 40
"""A commit that changes more files is a mechanical change, or an import of other code."""

MIN_CLONED_COMMITS = 20
"""A shallow clone with fewer commits is too short to learn from."""

_COMMIT_MARK = "\x01"
_FILE_MODES = frozenset({"100644", "100755"})
_BATCH_BYTES = 16 << 20
_LOG = (
    "--no-merges", "--no-renames", "--no-ext-diff", "--no-textconv", "--diff-filter=M", "--raw", "--no-abbrev",
    f"--format={_COMMIT_MARK}%H %ct %s",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file before and after a commit, with line feeds and masked secrets. ``subject`` is cleaned.

    ``name`` is relative to ``folder``, the top of the repository. ``time_s`` is in seconds since 1970. ``licence`` is
    that of the file's header, or "".
    """

    folder: Path
    name: str
    commit: str
    time_s: int
    subject: str
    old: str
    new: str
    licence: str = ""

    @property
    def path(self) -> Path:
        return self.folder / self.name

    def changed_lines(self) -> tuple[int, int, int]:
        """The first changed line, the line after the last one of ``old``, and that of ``new``, from 0.

        The lines between two changes belong to it, as in StarCoder's training data.
        """
        return changed_range(self.old.split("\n"), self.new.split("\n"))


@dataclass(frozen=True, slots=True)
class Commit:
    """``files`` are (name, id of the content before, id of the content after)."""

    id: str
    time_s: int
    subject: str
    files: list[tuple[str, str, str]]


def read_changes(
    paths: Sequence[Path],
    ignored: Sequence[str] = (),
    since_s: float | None = None,
    max_commits: int = MAX_COMMITS,
    left_out: Counter[str] | None = None,
) -> Iterator[FileChange]:
    """The usable changes of files in ``paths`` (files and folders of repositories), the newest first.

    ``ignored`` are the patterns of `context.ignore`. With ``since_s``, seconds since 1970, only later commits.
    ``left_out`` counts the others by reason. Raises SettingsError if a path is in no repository, or git fails.
    """
    left_out = Counter() if left_out is None else left_out
    by_folder: dict[Path, list[str]] = {}
    for path in paths:
        if not path.exists():
            raise SettingsError(f"There is no file or folder {path}.")
        resolved = path.resolve()
        folder = find_repository(resolved if resolved.is_dir() else resolved.parent)
        if not (folder / ".git").exists():
            is_bare = (resolved / "HEAD").is_file() and (resolved / "objects").is_dir()
            problem = (
                "is a bare repository, whose files have no paths on the disk"
                if is_bare
                else ("is in no git repository, so it has no commits")
            )
            raise SettingsError(f"{path} {problem}. Name a folder of a {'clone' if is_bare else 'repository'}.")
        by_folder.setdefault(folder, []).append(resolved.relative_to(folder).as_posix())
    rules = IgnoreRules(sorted(by_folder), ignored)
    for folder, names in sorted(by_folder.items()):
        _require_history(folder)
        commits = list(_usable_commits(_list_commits(folder, names, since_s, max_commits), left_out))
        yield from _read_commits(folder, commits, rules, left_out)


def changed_range(old: Sequence[str], new: Sequence[str]) -> tuple[int, int, int]:
    """Start of the changed lines, their end in ``old``, and in ``new``; equal lines around them are not in it."""
    start, shortest = 0, min(len(old), len(new))
    while start < shortest and old[start] == new[start]:
        start += 1
    end = 0
    while end < shortest - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return start, len(old) - end, len(new) - end


def parse_log(log: str) -> list[Commit]:
    """The commits in the output of `git log --raw`, with the regular files that they modify."""
    commits: list[Commit] = []
    for line in log.split("\n"):
        if line.startswith(_COMMIT_MARK):
            commit, time_s, subject = (*line[1:].split(" ", 2), "", "")[:3]
            commits.append(Commit(commit, int(time_s or 0), subject, []))
        elif line.startswith(":") and commits:
            fields, _, name = line[1:].partition("\t")
            old_mode, new_mode, old_id, new_id, _ = fields.split(" ")
            is_quoted = name.startswith('"')  # it has control characters
            if {old_mode, new_mode} <= _FILE_MODES and old_id != new_id and not is_quoted:
                commits[-1].files.append((name, old_id, new_id))
    return commits


def _require_history(folder: Path) -> None:
    """Raises SettingsError if the repository has no commits, or is a clone with only the newest few."""
    commits = len(run_git(folder, ("rev-list", f"--max-count={MIN_CLONED_COMMITS}", "--all")).split())
    if not commits:
        raise SettingsError(f"The repository {folder} has no commits yet. Name one with a history.")
    is_shallow = run_git(folder, ("rev-parse", "--is-shallow-repository")).strip() == b"true"
    if is_shallow and commits < MIN_CLONED_COMMITS:
        raise SettingsError(
            f"{folder} is a shallow clone with {commits} commit{'s' if commits > 1 else ''}. Run "
            "`git fetch --unshallow` there, which gets the others."
        )


def _list_commits(folder: Path, names: Sequence[str], since_s: float | None, max_commits: int) -> list[Commit]:
    since = () if since_s is None else (f"--since=@{int(since_s)} +0000",)
    return parse_log(read_log(folder, (*_LOG, f"--max-count={max_commits}", *since, "--", *names)))


def _usable_commits(commits: Sequence[Commit], left_out: Counter[str]) -> Iterator[Commit]:
    """The commits of a usual size whose subjects say what they do, with their subjects cleaned."""
    for commit in commits:
        subject = clean_subject(commit.subject)
        if len(commit.files) > MAX_FILES_PER_COMMIT:
            left_out[f"in commits that change more than {MAX_FILES_PER_COMMIT} files"] += len(commit.files)
        elif subject is None:
            left_out["in commits whose subject is short, generic or automatic"] += len(commit.files)
        else:
            yield Commit(commit.id, commit.time_s, subject, commit.files)


def _read_commits(
    folder: Path, commits: Sequence[Commit], rules: IgnoreRules, left_out: Counter[str]
) -> Iterator[FileChange]:
    chosen = []
    for commit in commits:
        for name, old_id, new_id in commit.files:
            if not language_family(name):
                left_out["not source code"] += 1
            elif (reason := _reason_by_name(folder, name, rules)) is not None:
                left_out[reason] += 1
            else:
                chosen.append((commit, name, old_id, new_id))
    sizes = _read_sizes(folder, [id_ for _, _, *ids in chosen for id_ in ids])
    batch: list[tuple[Commit, str, str, str]] = []
    batch_bytes = 0
    for change in chosen:
        size = sum(sizes.get(id_, MAX_FILE_BYTES + 1) for id_ in change[2:])
        if any(sizes.get(id_, MAX_FILE_BYTES + 1) > MAX_FILE_BYTES for id_ in change[2:]):
            left_out["unreadable, binary, minified or too long"] += 1
            continue
        if batch and batch_bytes + size > _BATCH_BYTES:
            yield from _read_batch(folder, batch, left_out)
            batch, batch_bytes = [], 0
        batch.append(change)
        batch_bytes += size
    yield from _read_batch(folder, batch, left_out)


def _reason_by_name(folder: Path, name: str, rules: IgnoreRules) -> str | None:
    """Why a file of this name is not used; None if it is."""
    parents = PurePosixPath(name).parent.parts
    if any(map(is_skipped_folder, parents)):
        return "hidden, installed or built"
    if sources.is_vendored(Path(name)):
        return "vendored"
    return None if rules.exclusion_reason(folder / name) is None else "ignored, or with the name of a secret"


def _read_sizes(folder: Path, ids: Sequence[str]) -> Mapping[str, int]:
    """The bytes of each content; those that are missing in a partial clone are left out."""
    if not ids:
        return {}
    lines = "".join(f"{id_}\n" for id_ in dict.fromkeys(ids)).encode()
    output = run_git(folder, ("cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)"), lines)
    found = (line.split(" ") for line in output.decode(errors="replace").split("\n"))
    return {fields[0]: int(fields[2]) for fields in found if len(fields) == 3 and fields[1] == "blob"}


def _read_batch(
    folder: Path, batch: Sequence[tuple[Commit, str, str, str]], left_out: Counter[str]
) -> Iterator[FileChange]:
    contents = _read_contents(folder, [id_ for _, _, *ids in batch for id_ in ids])
    for commit, name, old_id, new_id in batch:
        old, new = (decode_source(contents.get(id_, b"\0")) for id_ in (old_id, new_id))
        if old is None or new is None:
            left_out["unreadable, binary, minified or too long"] += 1
        elif sources.is_generated(new):
            left_out["generated"] += 1
        else:
            change = FileChange(
                folder, name, commit.id, commit.time_s, commit.subject, mask_secrets(old), mask_secrets(new),
                find_licence(new),
            )  # fmt: skip
            if (reason := _reason_by_text(change, old, new)) is None:
                yield change
            else:
                left_out[reason] += 1


def _reason_by_text(change: FileChange, old: str, new: str) -> str | None:
    """Why a change is not used, whose texts before masking are ``old`` and ``new``; None if it is."""
    if "".join(change.old.split()) == "".join(change.new.split()):
        return "different in blanks or secrets only"
    start, old_end, new_end = changed_range(old.split("\n"), new.split("\n"))
    for text, masked, end in ((old, change.old, old_end), (new, change.new, new_end)):
        if text.split("\n")[start:end] != masked.split("\n")[start:end]:
            return "with a secret in the changed lines"
    return None


def _read_contents(folder: Path, ids: Sequence[str]) -> Mapping[str, bytes]:
    if not ids:
        return {}
    output = run_git(folder, ("cat-file", "--batch"), "".join(f"{id_}\n" for id_ in dict.fromkeys(ids)).encode())
    contents: dict[str, bytes] = {}
    position = 0
    while (end := output.find(b"\n", position)) >= 0:
        fields = output[position:end].decode(errors="replace").split(" ")
        position = end + 1
        if len(fields) == 3:  # otherwise the object is missing
            size = int(fields[2])
            contents[fields[0]] = output[position : position + size]
            position += size + 1
    return contents
