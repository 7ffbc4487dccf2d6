"""Tests of loss modules that learn numbers or hold a group: state dicts, bounds, FSDP, copies and pickles."""

import copy
import io
import math
import pickle

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecisionPolicy, fully_shard

import cosgrad.torch as C

KINDS = [C.nn.ContrastiveLoss, C.nn.SigmoidContrastiveLoss]
pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning",
    "ignore::UserWarning:torch.distributed",
    "ignore:The .grad attribute of a Tensor",  # raised by the compiler
    "ignore:.*Function.*should not be instantiated:DeprecationWarning",  # raised by the compiler
)


@pytest.fixture
def world(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    yield dist.group.WORLD
    dist.destroy_process_group()


@pytest.fixture
def pair(seed):
    return torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(seed)).unbind()


class Towers(torch.nn.Module):
    def __init__(self, loss):
        super().__init__()
        self.net, self.loss = torch.nn.Linear(4, 4), loss

    def forward(self, x, y):
        return self.loss(self.net(x), self.net(y))


def old(state):
    """Return a state dict as older versions saved it, with numbers of shape ()."""
    return {k: v.reshape(()) if v.numel() == 1 else v for k, v in state.items()}


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_state_dicts_of_shape_0_load(kind, assign, pair):
    model = torch.nn.ModuleDict({"module": Towers(kind(learnable=True))})
    other = copy.deepcopy(model)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.25)
    given = old(model.state_dict())
    assert not other.load_state_dict(given, assign=assign).missing_keys
    assert all(v.shape == () for k, v in given.items() if ".loss." in k)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(model["module"](*pair), other["module"](*pair))


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_scalars_outside_and_vectors_inside(kind):
    module = kind(learnable=True)
    assert {p.shape for p in module.parameters()} == {torch.Size([1])}
    number = module.temperature if kind is C.nn.ContrastiveLoss else module.scale
    assert number.shape == ()
    assert number.requires_grad
    assert "0.07" in repr(module) or "scale=10, bias=-10" in repr(module)
    assert "?" in repr(copy.deepcopy(module).to("meta"))


@pytest.mark.parametrize("how", ["FSDP1", "FSDP2", "FSDP2 bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_fully_sharded(kind, how, world, pair):
    alone = Towers(kind(learnable=True))
    model = copy.deepcopy(alone)
    if how == "FSDP1":
        model = FullyShardedDataParallel(model, device_id=torch.device("cpu"), use_orig_params=True)
    else:
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16) if "bfloat16" in how else None
        options = {} if policy is None else {"mp_policy": policy}
        fully_shard(model, mesh=init_device_mesh("cpu", (1,)), **options)
    loss = model(*pair)
    loss.backward()
    want = alone(*pair)
    want.backward()
    within = 0.05 if "bfloat16" in how else 1e-5
    torch.testing.assert_close(loss.detach().float(), want.detach(), rtol=within, atol=within)
    assert "learnable=True" in repr(model)
    if how == "FSDP2":
        for a, b in zip(model.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(a.grad.full_tensor(), b.grad)


def mismatched():
    """Return a batch whose loss falls at higher temperatures: each row has the partner of another row."""
    return torch.eye(4), torch.eye(4).roll(1, 0)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_temperature_below_the_minimum_comes_back(compiled, momentum):
    module = C.nn.ContrastiveLoss(learnable=True)
    module.load_state_dict({"log_temperature": torch.tensor(math.log(1e-12))})
    assert module.temperature.item() == torch.tensor(0.01).item()
    call = torch.compile(module, fullgraph=True, backend="aot_eager") if compiled else module
    optimizer = torch.optim.SGD(module.parameters(), 0.5, momentum=momentum)
    for _ in range(20):
        optimizer.zero_grad()
        call(*mismatched()).backward()
        optimizer.step()
    assert module.temperature.item() > 0.05


def test_a_temperature_below_the_minimum_is_not_pushed_further():
    module = C.nn.ContrastiveLoss(learnable=True, min_temperature=0.05)
    with torch.no_grad():
        module.log_temperature.fill_(math.log(0.04))
    x = torch.eye(4) + 0.5
    # The rows match, so a lower temperature would reduce the loss.
    module(x, x).backward()
    assert module.log_temperature.grad.item() == 0
    (g,) = torch.autograd.grad(module(*mismatched()), module.log_temperature, create_graph=True)
    assert g.item() < 0
    assert torch.isfinite(torch.autograd.grad(g.sum(), module.log_temperature)[0]).all()


def test_derivatives_of_a_learned_temperature(pair):
    module = C.nn.ContrastiveLoss(learnable=True).double()
    x, y = (t.double() for t in pair)

    def loss(logarithm):
        return torch.func.functional_call(module, {"log_temperature": logarithm}, (x, y))

    def formula(logarithm):
        return C.contrastive_loss(x, y, temperature=logarithm.exp())

    at = torch.tensor([-0.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(loss, at)
    for transform in (torch.func.grad, torch.func.hessian, torch.func.jacfwd):
        torch.testing.assert_close(transform(loss)(at.detach()), transform(formula)(at.detach()))


def test_a_start_below_the_minimum():
    with pytest.raises(ValueError, match=r"temperature=0.001 must be at least min_temperature=0.01"):
        C.nn.ContrastiveLoss(0.001, learnable=True, min_temperature=0.01)
    assert C.nn.ContrastiveLoss(0.001, learnable=True).temperature.item() == pytest.approx(0.001)
    assert C.nn.ContrastiveLoss(0.001, min_temperature=0.01).temperature == 0.001


def test_a_scale_that_overflows_comes_back():
    module = C.nn.SigmoidContrastiveLoss(learnable=True)
    with torch.no_grad():
        module.log_scale.fill_(100.0)
    module(*mismatched()).backward()
    assert module.log_scale.grad.item() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_group_is_copied_and_saved(kind, world, pair):
    part = dist.new_group([0])
    for group in (world, part, None):
        model = Towers(kind(group=group))
        copies = [copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))]
        copies.append(torch.optim.swa_utils.AveragedModel(model).module)
        buffer = io.BytesIO()
        torch.save(model, buffer)
        buffer.seek(0)
        copies.append(torch.load(buffer, weights_only=False))
        # The module is not used between these two copies.
        copies.append(pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(model)))))
        for other in copies:
            assert other.loss.group is group
            assert torch.equal(other(*pair), model(*pair))


@pytest.mark.parametrize("kind", KINDS)
def test_a_group_that_is_not_there(kind, world, pair):
    saved = pickle.dumps(kind(group=dist.new_group([0], group_desc="part")))
    whole = pickle.dumps(kind(group=world))
    dist.destroy_process_group()
    try:
        for state in (saved, whole):
            module = pickle.loads(state)
            repr(module)
            with pytest.raises(RuntimeError, match=r"ranks \[0\].*module\.group"):
                module(*pair)
            module.group = None
            assert torch.isfinite(module(*pair))
    finally:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    assert pickle.loads(whole).group is dist.group.WORLD


def test_a_group_breaks_the_graph(world, pair):
    module = C.nn.ContrastiveLoss(learnable=True, group=world)
    net = torch.nn.Linear(4, 4)

    def step(x, y):
        return module(net(x), net(y)) * 2 + C.nt_xent_loss(net(x), group=world)

    def gradients(f):
        loss = f(*pair) + C.sigmoid_contrastive_loss(net(pair[0]), pair[1], group=world)
        return [loss.detach(), *torch.autograd.grad(loss, (net.weight, module.log_temperature))]

    for a, b in zip(gradients(torch.compile(step, backend="aot_eager")), gradients(step), strict=True):
        torch.testing.assert_close(a, b)
    torch._dynamo.reset()
    with pytest.raises(torch._dynamo.exc.Unsupported, match="loss_of_group"):
        torch.compile(step, fullgraph=True, backend="aot_eager")(*pair)
