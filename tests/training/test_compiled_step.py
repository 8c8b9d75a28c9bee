"""The compiled step has the metrics and the effect of the eager step, which else takes its place.

Most tests run the graph without compiling it: that takes no compiler, and everything but the
compiler is the same.
"""

import os
import random
import warnings

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.distributions import Distribution

from pyro_vae.objectives import ELBO
from pyro_vae.rng import own_seed
from pyro_vae.training import CompiledStep, FitOptions, State, fit, step
from pyro_vae.training import compiled_graph as module
from pyro_vae.training.compiled_step import agree
from pyro_vae.training.compiling_cost import replayed_steps_worth_compiling
from pyro_vae.training.step_choice import SEVERAL, stepper
from pyro_vae.training.train_step import ScheduleValues, steps
from tests.training.small import X, same, small, weights, without_clock

RUN = {
    "epochs": 3,
    "batch_size": 16,
    "lr": 1e-2,
    "validation": 4,
}  # 46 rows: two batches of 16, one of 14


@pytest.fixture
def compilations(monkeypatch):
    """The graphs that were compiled; none is, they run as they are."""
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.module

    monkeypatch.setattr(module, "_compile", count)
    return graphs


def close(one, other, tolerance=1e-5):
    """Whether all parameters and buffers agree up to rounding."""
    pairs = [(a.double(), other[name].double()) for name, a in one.items()]
    return one.keys() == other.keys() and all(
        torch.allclose(a, b, rtol=1e-4, atol=tolerance) for a, b in pairs
    )


def both(make, x=X, **options):
    """The same run, compiled and eager."""
    runs = []
    for how in ("step", "off"):
        vae = make()
        with own_seed(99):
            run = fit(vae, x, compile=how, **{**RUN, **options})
        runs.append((run, weights(vae)))
    return runs


def agrees(compiled, eager):
    for ours, theirs in zip(compiled[0].history, eager[0].history, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {"seconds"}:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-5), name
    assert close(compiled[1], eager[1])


class Modern(nn.Module):
    """An encoder with batch norm, dropout, and a buffer that it replaces."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3)
        )
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls = self.calls + 1
        return self.net(x)


def modern():
    with own_seed(3):
        return small(encoder=Modern(), denoise=0.1)


def laplace():
    return small(prior=dist.Laplace(torch.zeros(2), 1.0).to_event(1))


TRACED = {
    "plain": (small, {}),
    "changing": (
        small,
        {
            "kl_warmup_epochs": 2,
            "clip_norm": 1.0,
            "ema_decay": 0.9,
            "optimizer": "adamw",
        },
    ),
    "batch norm, dropout, denoising": (modern, {}),
    "a distribution of the user's": (
        laplace,
        {"objective": {"kind": "iwae", "num_particles": 3}},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("make", "options"), TRACED.values(), ids=TRACED)
def test_the_graph_and_the_eager_step_agree(make, options, compilations):
    agrees(*both(make, **options))
    assert len(compilations) == 1


@pytest.mark.parametrize("name", ["plain", "changing"])
def test_a_graph_that_the_kernel_of_adam_follows(name, compilations):
    """Half of the graph is left; the numbers are those of the eager step."""
    make, options = TRACED[name]
    agrees(*both(make, **options))
    (graph,) = compilations
    assert len(graph.module(*module_inputs(graph))) == 1 + len(graph.reached)


def test_each_number_may_change_without_another_graph(compilations):
    """β, learning rate and rows; a shorter batch is eager, and the graph makes the other steps."""
    calls = []
    vae = small()
    state = State(vae, ELBO(), torch.optim.Adam(vae.parameters()))
    make_step = CompiledStep()
    state, _ = make_step(state, torch.as_tensor(X[:16]))
    run = make_step._one.run
    make_step._one.run = lambda *inputs: (
        calls.append(inputs[-1].shape[1]) or run(*inputs)
    )
    for rows in (16, 16, 10, 16):
        state, _ = make_step(state, torch.as_tensor(X[:rows]))
    assert (len(compilations), calls, state.steps) == (1, [16, 16, 16], 5)
    assert {float(kept["step"]) for kept in state.optimizer.state.values()} == {5.0}


def test_a_step_that_differs_in_more_than_numbers_is_eager(compilations):
    vae, other = small(), small(seed=1)
    make_step = CompiledStep()
    batch = torch.as_tensor(X[:16])
    first = State(vae, ELBO(), torch.optim.Adam(vae.parameters()))
    make_step(first, batch)
    assert make_step._one.fits(first, batch, [ScheduleValues.of(first)])
    others = [
        State(other, ELBO(), torch.optim.Adam(other.parameters())),
        State(vae, ELBO(num_particles=2), first.optimizer),
        State(vae, first.objective, torch.optim.Adam(vae.parameters())),
        State(vae, first.objective, first.optimizer, clip_norm=1.0),
    ]
    assert not any(
        make_step._one.fits(state, batch, [ScheduleValues.of(state)])
        for state in others
    )
    assert not make_step._one.fits(first, batch[:8], [ScheduleValues.of(first)])
    assert not make_step._one.fits(first, batch.double(), [ScheduleValues.of(first)])
    vae.eval()
    assert not make_step._one.fits(first, batch, [ScheduleValues.of(first)])


def test_the_norm_is_that_of_the_weights_that_move(compilations):
    """The guide stays as it is: its gradients are not in the norm, and do not add up in it."""
    infos = []
    for make_step in (CompiledStep(), step):
        vae = small()
        state = State(vae, ELBO(), torch.optim.Adam(vae.model.parameters()))
        with own_seed(5):
            for _ in range(3):
                state, info = make_step(state, torch.as_tensor(X[:16]))
        infos.append(info)
    assert agree(*infos)
    moved = [
        weight.grad for weight in vae.model.parameters() if weight.grad is not None
    ]
    assert torch.isclose(
        info.grad_norm, torch.cat([gradient.flatten() for gradient in moved]).norm()
    )


def test_an_optimizer_that_is_not_adam_stays_outside(compilations):
    with pytest.warns(
        UserWarning,
        match="only the loss and its gradient are compiled.* SGD is not plain Adam",
    ) as seen:
        runs = both(small, optimizer="sgd", ema_decay=0.9, clip_norm=0.5)
    agrees(*runs)
    assert (len(about_compiling(seen)), len(compilations)) == (1, 1)


def test_only_the_loss_may_be_asked_for(compilations):
    vae, eager = small(), small()
    fit(vae, X, compile="loss", **RUN)
    fit(eager, X, compile="off", **RUN)
    assert close(weights(vae), weights(eager))
    graph = compilations[0]
    assert len(graph.module(*module_inputs(graph))) == 1 + len(
        graph.reached
    )  # gradients come out


def module_inputs(graph):
    tensors = [container[key] for container, key in graph.slots]
    return (
        *tensors,
        torch.ones(1, 4, dtype=torch.float64),
        torch.as_tensor(X[None, :16]),
    )


def test_a_second_fit_compiles_again_and_continues_alike(compilations):
    vae, eager = small(), small()
    for how, model in (("step", vae), ("off", eager)):
        for seed in (0, 1):
            fit(model, X, compile=how, seed=seed, **RUN)
    assert close(weights(vae), weights(eager))
    assert len(compilations) == 2


class Cautious:
    """An objective that looks at β: none of the rate counts until β is a half."""

    def __call__(self, model, guide, x, beta=1.0):
        return ELBO()(model, guide, x, beta if beta > 0.5 else 0.0)


def test_a_graph_for_one_beta_makes_no_steps_with_another(compilations):
    batches = torch.as_tensor(X[:32]).unflatten(0, (2, 16))
    schedule = [ScheduleValues(1.0, (1e-2,)), ScheduleValues(0.25, (1e-2,))]
    metrics = []
    for make_steps in (CompiledStep().steps, steps):
        vae = small()
        state = State(vae, Cautious(), torch.optim.Adam(vae.parameters(), lr=1e-2))
        with own_seed(0):
            state, _ = make_steps(state, batches[:1], schedule[:1])
            metrics.append(make_steps(state, batches, schedule)[1])
    assert len(compilations) == 1
    torch.testing.assert_close(*metrics, rtol=1e-4, atol=1e-5)


# Several steps in one graph


def first_quick(cases):
    """The cases, of which all but the first are for the slow tests."""
    first, *others = cases.values()
    return [first, *(pytest.param(*case, marks=pytest.mark.slow) for case in others)]


@pytest.fixture
def several(monkeypatch):
    """Nets of any size take several steps in one graph, in runs of any length."""
    monkeypatch.setitem(stepper.__globals__, "WORTH_SEVERAL", 0)


@pytest.mark.slow
@pytest.mark.parametrize(("make", "options"), first_quick(TRACED), ids=TRACED)
def test_several_steps_in_one_graph_are_several_steps(
    make, options, compilations, several
):
    """46 rows in batches of 7: four steps together, two by themselves, and a short batch."""
    agrees(*both(make, batch_size=7, **options))
    assert [steps_of(graph) for graph in compilations] == [1, SEVERAL]


def steps_of(graph):
    """The steps in a graph: the stack of batches is its last input."""
    return (
        [node for node in graph.module.graph.nodes if node.op == "placeholder"][-1]
        .meta["val"]
        .shape[0]
    )


@pytest.mark.parametrize(("rows", "expected"), [(100, 4), (1_000_000, 1)])
def test_only_small_steps_go_together(rows, expected):
    options = FitOptions(compile="step", batch_size=rows)
    chosen = stepper(options, torch.optim.Adam(small().parameters()), 10**6)
    assert chosen.__self__.together == expected


# What can't be in a graph


class Branching(nn.Module):
    """A decoder that looks at its input."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(2, 4)

    def forward(self, z):
        return self.net(z) if z.sum() > 0 else -self.net(-z)


class FromNumpy(nn.Module):
    """An encoder with noise that torch doesn't know of."""

    def __init__(self):
        super().__init__()
        self.net, self.random = nn.Linear(4, 8), np.random.default_rng(0)

    def forward(self, x):
        return self.net(x + torch.as_tensor(self.random.normal(size=4), dtype=x.dtype))


def with_part(**parts):
    def make():
        with own_seed(3):
            return small(**{slot: part() for slot, part in parts.items()})

    return make


def about_compiling(seen):
    """The warnings but for that of a model that has trained for a moment only."""
    return [
        warning
        for warning in seen
        if "below independent columns" not in str(warning.message)
    ]


def test_a_part_that_can_not_be_traced_is_named_and_the_step_is_eager(compilations):
    with pytest.warns(
        UserWarning, match=r"stays eager: likelihood \(Branching\): .*"
    ) as seen:
        compiled, eager = both(with_part(decoder=Branching))
    assert same(compiled[1], eager[1])
    assert without_clock(compiled[0].history) == without_clock(eager[0].history)
    assert (len(about_compiling(seen)), compilations) == (1, [])


def test_numbers_that_are_others_are_noticed(compilations):
    vae = with_part(encoder=FromNumpy)()
    with pytest.warns(UserWarning, match="results differ: loss .*, expected .*; rate"):
        fit(vae, X, compile="step", **RUN)
    assert len(compilations) == 1


def test_an_error_of_the_compiler_is_no_error(monkeypatch):
    import torch._inductor

    monkeypatch.setattr(
        torch._inductor, "compile", {}.pop
    )  # raises without a line of Python
    with pytest.warns(
        UserWarning, match=r"stays eager: the compiler: TypeError: dict.pop"
    ) as seen:
        compiled, eager = both(small)
    assert same(compiled[1], eager[1])
    assert len(about_compiling(seen)) == 1


def test_an_interrupt_while_compiling_ends_the_run(monkeypatch):
    def interrupt(graph, inputs):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_compile", interrupt)
    vae = small()
    before = weights(vae)
    with pytest.warns(UserWarning, match="interrupted after 0 of 3"):
        run = fit(vae, X, compile="step", **RUN)
    assert run.interrupted
    assert all(
        torch.equal(before[name], p)
        for name, p in vae.named_parameters()
        if "bias" not in name
    )


def test_a_loss_that_is_not_finite_is_refused(compilations):
    with pytest.raises(ValueError, match="not finite in epoch"):
        fit(small(), X, compile="step", **{**RUN, "lr": 1e30, "epochs": 20})


# When


WORTH_COMPILING = replayed_steps_worth_compiling(list(small().parameters()), 128)


@pytest.mark.parametrize(
    ("how", "optimizer", "count", "with_optimizer"),
    [
        ("auto", "adam", WORTH_COMPILING, True),
        ("auto", "sgd", WORTH_COMPILING, False),
        ("off", "adam", 10 * WORTH_COMPILING, None),
        ("step", "adam", 1, True),
        ("loss", "adam", 1, False),
    ],
)
def test_auto_compiles_long_runs(how, optimizer, count, with_optimizer):
    kinds = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    chosen = stepper(
        FitOptions(compile=how), kinds[optimizer](small().parameters(), lr=0.1), count
    )
    if with_optimizer is None:
        assert chosen is steps
    else:
        assert chosen.__self__.with_optimizer is with_optimizer


def test_by_default_a_short_run_compiles_nothing(compilations):
    fit(small(), X, **RUN)
    assert not compilations


# With the compiler


ADDRESS = "_TORCHINDUCTOR_PYOBJECT_TENSOR_DATA_PTR"
"""By this variable inductor's C++ code finds a function."""


def outside():
    """What belongs to the caller."""
    import torch._dynamo
    import torch._inductor

    return {
        "inductor": torch._inductor.config.get_config_copy(),
        "dynamo": torch._dynamo.config.get_config_copy(),
        "torch's generator": torch.get_rng_state().tolist(),
        "numpy's generator": str(np.random.get_state()),  # noqa: NPY002 - the global one is watched
        "random's generator": random.getstate(),
        "Pyro's settings": pyro.settings.get(),
        "torch's validation": Distribution._validate_args,
        "torch's grad mode": torch.is_grad_enabled(),
        "torch's threads": torch.get_num_threads(),
        "matmul precision": torch.get_float32_matmul_precision(),
        "warnings": list(warnings.filters),
        "environment": {
            name: value for name, value in os.environ.items() if name != ADDRESS
        },
    }


@pytest.fixture(scope="module")
def compiled_run():
    """A compiled run with warm-up, clipping, averages and a short batch; and what it changed."""
    import torch._inductor

    count, compile_graph = [], torch._inductor.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch._inductor,
            "compile",
            lambda *a, **k: count.append(1) or compile_graph(*a, **k),
        )
        before = outside()
        runs = both(modern, kl_warmup_epochs=2, clip_norm=5.0, ema_decay=0.9)
        return runs, before, outside(), count


@pytest.mark.slow
def test_compiled_and_eager_agree(compiled_run):
    runs, _, _, count = compiled_run
    agrees(*runs)
    assert len(count) == 1


@pytest.mark.slow
def test_several_compiled_steps_agree_with_eager_ones(several):
    agrees(
        *both(
            modern,
            batch_size=7,
            epochs=9,
            kl_warmup_epochs=2,
            clip_norm=5.0,
            ema_decay=0.9,
        )
    )


@pytest.mark.slow
def test_compiling_leaves_the_settings_of_the_process(compiled_run):
    _, before, after, _ = compiled_run
    assert [name for name in before if before[name] != after[name]] == []


def test_agreement_is_up_to_rounding():
    info = module.Info(*torch.tensor([100.0, 1.0, 99.0, 3.0]))
    for name in info._fields:
        assert agree(info._replace(**{name: getattr(info, name) * 1.0001}), info)
        assert not agree(info._replace(**{name: getattr(info, name) * 1.01}), info)
