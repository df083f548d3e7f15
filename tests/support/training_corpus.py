"""A small training corpus of this package's own source, as ``starcoder-ls train corpus`` writes it; command lines."""

from __future__ import annotations

from pathlib import Path

from starcoder_ls.cli.application import application
from starcoder_ls.context.source_files import Source
from starcoder_ls.learning import corpus, tokenizer_training
from starcoder_ls.learning.sources import Package


def write_training_corpus(folder: Path) -> Path:
    """Write a corpus of three packages, and held-out documents, to ``folder``, and return it."""
    files = sorted(Path(corpus.__file__).parent.glob("*.py"))
    texts = [Source(f"pkg{n % 3}", f"pkg/{p.name}", p.read_text(encoding="utf-8")) for n, p in enumerate(files)]
    tokenizer = tokenizer_training.train_tokenizer([text.text for text in texts], 512)
    packages = [Package(f"pkg{n}", "1.0", "MIT\nLicense", ()) for n in range(3)]
    for part, described in ((folder, packages), (folder / "heldout", [])):
        part.mkdir(parents=True, exist_ok=True)
        tokenizer_training.save_tokenizer(tokenizer, part)
        corpus.write_corpus(part, tokenizer, texts[:2] if part != folder else texts, described)
    return folder


def run_command_line(*arguments: str | Path) -> int:
    """Run ``starcoder-ls`` with ``arguments`` in this process; the exit code. Raises StarcoderError."""
    exit_code: int = application([str(argument) for argument in arguments], standalone_mode=False)
    return exit_code
