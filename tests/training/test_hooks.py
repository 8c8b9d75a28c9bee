"""torch's hooks on the programs and their parts are called in `fit`."""

import pytest
import torch
from torch import nn

from pyro_vae.objectives import ELBO
from pyro_vae.training import CompiledStep, FitOptions, State, fit
from pyro_vae.training.step_choice import choose_steps, hooked_modules
from pyro_vae.training.train_step import steps
from tests.training.small import X, same, small, weights, without_clock

RUN = {"epochs": 2, "batch_size": 16, "validation": 10, "progress": False}

PARTS = {
    "model": lambda vae: vae.model,
    "guide": lambda vae: vae.guide,
    "prior": lambda vae: vae.prior,
    "likelihood": lambda vae: vae.likelihood,
    "family of the likelihood": lambda vae: vae.likelihood.family,
    "decoder": lambda vae: vae.likelihood.decoder,
    "posterior": lambda vae: vae.posterior,
    "family of the guide": lambda vae: vae.posterior.family,
    "encoder": lambda vae: vae.posterior.encoder,
}


class CountedELBO:
    """The ELBO, which counts its calls: each calls model and guide once."""

    def __init__(self):
        self.calls = 0

    def __call__(self, model, guide, x, beta=1.0):
        self.calls += 1
        return ELBO(num_particles=2)(model, guide, x, beta)


@pytest.mark.parametrize("part", PARTS)
def test_hooks_are_called_in_each_eager_step(part):
    vae = small()
    before = []
    after = []
    module = PARTS[part](vae)
    module.register_forward_pre_hook(lambda module, inputs: before.append(module))
    module.register_forward_hook(lambda module, inputs, output: after.append(module))
    objective = CountedELBO()
    fit(vae, X, objective=objective, **RUN)
    assert objective.calls == 1 + 2 * (
        3 + 1
    )  # a first look; per epoch 3 batches and a validation
    assert len(before) == len(after) == objective.calls
    assert all(called is module for called in after)


def test_what_a_hook_returns_is_used():
    class Doubled(nn.Module):
        def __init__(self, decoder):
            super().__init__()
            self.decoder = decoder

        def forward(self, z):
            return 2 * self.decoder(z)

    runs = []
    for wrapped in (True, False):
        vae = small()
        decoder = vae.likelihood.decoder
        if wrapped:
            vae.likelihood.decoder = Doubled(decoder)
        else:
            decoder.register_forward_hook(lambda module, inputs, output: 2 * output)
        runs.append((without_clock(fit(vae, X, **RUN).history), weights(decoder)))
    assert runs[0][0] == runs[1][0]
    assert same(runs[0][1], runs[1][1])


def test_gradients_reach_backward_hooks():
    vae = small()
    of_module = []
    of_weight = []
    vae.likelihood.decoder.register_full_backward_hook(
        lambda module, into, out: of_module.append(out[0].shape)
    )
    weight = next(vae.posterior.encoder.parameters())
    weight.register_hook(lambda gradient: of_weight.append(gradient.shape))
    fit(vae, X, **RUN)
    assert [len(shape) for shape in of_module] == [2] * 6
    assert of_weight == [weight.shape] * 6


def test_hooks_change_no_number():
    histories = []
    for hooked in (False, True):
        vae = small()
        if hooked:
            for part in PARTS.values():
                part(vae).register_forward_hook(lambda module, inputs, output: None)
        histories.append(without_clock(fit(vae, X, **RUN).history))
    assert histories[0] == histories[1]


def state_of(vae):
    return State(vae, ELBO(), torch.optim.Adam(vae.parameters()))


def note(*arguments):
    """Stands for any hook of a user's."""


HOOKS = {
    "vae.model": lambda vae: vae.model.register_forward_hook(note),
    "vae.guide.posterior.encoder": lambda vae: (
        vae.posterior.encoder.register_forward_pre_hook(note)
    ),
    "vae.model.likelihood": lambda vae: vae.likelihood.register_full_backward_hook(
        note
    ),
    "vae.guide": lambda vae: vae.guide.register_full_backward_pre_hook(note),
    "every module": lambda vae: nn.modules.module.register_module_forward_hook(note),
}


@pytest.mark.parametrize("name", HOOKS)
def test_auto_stays_eager_where_there_are_hooks(name):
    vae = small()
    many = 10**6
    options = FitOptions(compile="auto")
    assert isinstance(choose_steps(state_of(vae), options, many).__self__, CompiledStep)
    handle = HOOKS[name](vae)
    try:
        assert choose_steps(state_of(vae), options, many) is steps
        assert next(hooked_modules(vae)).startswith(name)
    finally:
        handle.remove()
    assert list(hooked_modules(vae)) == []


@pytest.fixture
def uncompiled(monkeypatch):
    """Graphs run as they are."""
    monkeypatch.setattr(
        "pyro_vae.training.compiled_graph.compile_graph",
        lambda module, *rest: module,
    )


@pytest.mark.parametrize("how", ["step", "loss"])
def test_a_compiled_step_warns_once(how, uncompiled):
    vae = small()
    calls = []
    vae.likelihood.decoder.register_forward_hook(lambda *arguments: calls.append(1))
    vae.posterior.encoder.register_forward_hook(lambda *arguments: None)
    expected = r"^fit: the hooks of vae\.model\.likelihood\.decoder are .*compile='off' calls them"
    with pytest.warns(UserWarning, match=expected) as caught:
        fit(vae, X, **RUN | {"epochs": 4, "compile": how})
    about_hooks = [one for one in caught if "hooks" in str(one.message)]
    assert len(about_hooks) == 1
    assert about_hooks[0].filename == __file__
    assert len(calls) < 1 + 4 * (3 + 1)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
def test_the_hooks_of_torch_itself_are_no_reason():
    """weight_norm computes the weight in a hook, of tensors only, as a graph does."""
    encoder = nn.utils.weight_norm(nn.Linear(4, 8))
    assert len(encoder._forward_pre_hooks) == 1
    assert list(hooked_modules(small(encoder=encoder))) == []
