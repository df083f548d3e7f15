"""``starcoder-ls train corpus``: collects source code into a file of token ids."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console


def run(folder: Path, site_packages: list[Path], vocabulary_size: int, max_package_bytes: int) -> int:
    """Write corpus.bin, corpus.json and the tokenizer to ``folder``, and the same of the held-out packages to
    its subfolder ``heldout``. The exit code is 0.
    """
    from starcoder_ls.learning import corpus as corpora
    from starcoder_ls.learning import sources, tokenizer_training

    console = Console(stderr=True, highlight=False)
    packages = {"python": sources.standard_library()}
    for site_folder in site_packages:
        for package in sources.installed_packages(site_folder):
            packages.setdefault(package.name, package)
    with console.status(f"reading {len(packages)} packages"):
        training, held_out, used = sources.split_sources(packages.values(), max_package_bytes)
    console.print(f"{len(training)} files of {len(used)} packages; {len(held_out)} files held out")
    with console.status("training the tokenizer"):
        tokenizer = tokenizer_training.train_tokenizer(tokenizer_training.sample_texts(training), vocabulary_size)
    for part, texts, described in ((folder, training, used), (folder / "heldout", held_out, [])):
        part.mkdir(parents=True, exist_ok=True)
        tokenizer_training.save_tokenizer(tokenizer, part)
        with console.status("writing token ids"):
            tokens = corpora.write_corpus(part, tokenizer, texts, described)
        chars = sum(len(source.text) for source in texts)
        console.print(f"{part / 'corpus.bin'}: {tokens:,} tokens, {chars:,} characters")
    return 0
