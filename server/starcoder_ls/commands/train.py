"""``starcoder-ls train …``: corpora and base models, with progress on the terminal."""

from __future__ import annotations

import os
import shutil
import statistics
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from starcoder_ls.errors import SettingsError

_HELD_OUT_EVERY = 25  # reports
_HELD_OUT_PAIRS = 300


def corpus(folder: Path, site_packages: list[Path], vocabulary_size: int, max_package_bytes: int) -> int:
    """corpus.bin, corpus.json and the tokenizer in ``folder``; the same of the held-out packages in ``heldout/``."""
    from starcoder_ls.learning import corpus as corpora
    from starcoder_ls.learning import sources, tokenizer_training

    console = Console(stderr=True, highlight=False)
    packages = {"python": sources.standard_library()}
    for place in site_packages:
        for package in sources.installed_packages(place):
            packages.setdefault(package.name, package)
    with console.status(f"reading {len(packages)} packages"):
        training, held_out, used = sources.split_sources(packages.values(), max_package_bytes)
    console.print(f"{len(training)} files of {len(used)} packages; {len(held_out)} files held out")
    with console.status("learning the vocabulary"):
        tokenizer = tokenizer_training.train_tokenizer(tokenizer_training.sample_texts(training), vocabulary_size)
    for place, texts, described in ((folder, training, used), (folder / "heldout", held_out, [])):
        place.mkdir(parents=True, exist_ok=True)
        tokenizer_training.save_tokenizer(tokenizer, place)
        with console.status("writing token ids"):
            tokens = corpora.write_corpus(place, tokenizer, texts, described)
        console.print(f"{place / 'corpus.bin'}: {tokens:,} tokens, {sum(len(s.text) for s in texts):,} characters")
    return 0


def base(
    data: Path, folder: Path, plan: dict[str, Any], start: Path | None, device: str, is_compiled: bool, workers: int
) -> int:
    """Train to the end of the plan; the finished model in Hub layout lies in ``folder/model``."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read by OpenMP when torch is imported
    from starcoder_ls.learning import base_training as training
    from starcoder_ls.learning import model_card, ngram_fitting
    from starcoder_ls.learning.corpus import Corpus

    if not (data / "corpus.bin").is_file():
        raise SettingsError(f"{data} holds no corpus.bin. Make one with `starcoder-ls train corpus {data}`.")
    held_out = Corpus(data / "heldout")
    run = training.TrainingRun(
        folder, training.TrainingConfig(**plan), Corpus(data), held_out, device, is_compiled, workers
    )
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.is_file() or start is not None:
        run.load_checkpoint(checkpoint if checkpoint.is_file() else start)  # type: ignore[arg-type]
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, console=Console(highlight=False)) as bar:
        task = bar.add_task("starting", total=run.config.total_tokens, completed=run.tokens)
        for number, report in enumerate(run.train(), start=1):
            bar.update(
                task,
                completed=report.tokens,
                description=f"{report.tokens / 1e6:.1f}M tokens  loss {report.loss:.3f}  "
                f"middles {report.middle_loss:.3f}  {report.tokens_per_s:,.0f} tokens/s",
            )
            if number % _HELD_OUT_EVERY == 0:
                held = run.measure_held_out_loss(run.config.row_tokens)
                bar.console.print(
                    f"{report.tokens / 1e6:.1f}M tokens: loss {report.loss:.3f}, of middles {report.middle_loss:.3f}; "
                    f"held out {held.loss:.3f}, of middles {held.middle_loss:.3f}"
                )
        _print_by_position(bar.console, run)
    run.export(folder / "model")
    ngram_fitting.fit_strengths(run.model, run.data).save(folder / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(data / name, folder / "model" / name)
    card = model_card.build_model_card(run.config, run.tokens, sum(p.numel() for p in run.model.parameters()), data)
    (folder / "model" / "README.md").write_text(card, encoding="utf-8")
    return 0


def _print_by_position(console: Console, run: Any) -> None:
    losses = run.measure_held_out_loss(run.config.positions).by_position
    parts = [statistics.fmean(losses[i : i + 256]) for i in range(0, len(losses), 256)]
    console.print("held-out loss by position, in steps of 256: " + "  ".join(f"{part:.3f}" for part in parts))


def explain(data: Path, folder: Path, model: str, most_pairs: int, plan: dict[str, Any]) -> int:
    """Train a Parallel adapter to say what functions do; it lies in ``folder`` in Astraios' format."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from starcoder_ls.engine.adapters.fingerprint import compute_fingerprint
    from starcoder_ls.engine.loading import load_model
    from starcoder_ls.engine.loading.progress import ignore_progress
    from starcoder_ls.learning import adapter_training, explanations, trainable_adapter
    from starcoder_ls.learning.corpus import Corpus
    from starcoder_ls.settings import Model

    console = Console(highlight=False)
    wanted = adapter_training.TrainingConfig(**plan)
    loaded = load_model.load(Model(name=model, dtype="float32", device="cpu"), ignore_progress)
    with console.status("reading functions"):
        taught = _examples(explanations.sample_pairs(Corpus(data), most_pairs, wanted.seed), loaded)
        unseen = _examples(explanations.sample_pairs(Corpus(data / "heldout"), _HELD_OUT_PAIRS, 0), loaded)
    adapter = trainable_adapter.parallel_config(wanted.bottleneck_size, ["c_attn"])
    weights = trainable_adapter.add_adapter(loaded.model, adapter)
    console.print(f"{len(taught):,} functions, {sum(weight.numel() for weight in weights):,} weights")
    console.print(f"loss of held-out answers before: {adapter_training.evaluate(loaded.model, unseen, wanted):.3f}")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=1.0)
        recent: list[float] = []
        for report in adapter_training.train(loaded.model, weights, taught, wanted):
            recent = [*recent[-29:], report.loss]
            bar.update(task, completed=report.fraction, description=f"loss {statistics.fmean(recent):.3f}")
    console.print(f"loss of held-out answers after: {adapter_training.evaluate(loaded.model, unseen, wanted):.3f}")
    trainable_adapter.save_adapter(loaded.model, adapter, folder, model, compute_fingerprint(loaded.checkpoint))
    return 0


def _examples(pairs: list[Any], loaded: Any) -> list[Any]:
    """Each pair as the built-in actions ask for it, in turn: an adapter for one question answers no other."""
    from starcoder_ls.learning import adapter_training, corpus, explanations

    encode = loaded.tokenizer.encode
    return [
        adapter_training.Example(
            tuple(encode([explanations.build_prompt(pair.code, ("explain", "document")[number % 2])])),
            (*encode([f" {pair.sentence}"]), corpus.END_ID),
        )
        for number, pair in enumerate(pairs)
    ]
