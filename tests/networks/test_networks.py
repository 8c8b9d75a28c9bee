"""Networks: shapes, formulas, names of activations; and what the encoder's inputs go through."""

import math
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from pyro_vae import ELBO, VAE
from pyro_vae.data import Statistics, statistics
from pyro_vae.networks import (
    NETWORKS,
    Gated,
    Standardize,
    activation,
    gated_mlp,
    mlp,
    positive,
)
from pyro_vae.networks.base import _ACTIVATIONS
from tests.quadrature import SIGMAS

# Networks of every kind

CASES = {"mlp": mlp, "gated_mlp": gated_mlp}
every_case = pytest.mark.parametrize("case", CASES)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def linears(network: nn.Module) -> list[nn.Linear]:
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def test_every_kind_has_a_case() -> None:
    in_their_own_file = {"conv", "residual"}
    assert {
        kind: NETWORKS[kind] for kind in NETWORKS if kind not in in_their_own_file
    } == CASES


@every_case
@pytest.mark.parametrize("in_shape", [(6,), (2, 3)])
@pytest.mark.parametrize("hidden_dims", [(), (5,), (7, 5)])
def test_an_encoder_ends_in_features(
    case: str, in_shape: tuple[int, ...], hidden_dims: tuple[int, ...]
) -> None:
    encoder = CASES[case](in_shape, None, hidden_dims=hidden_dims)
    assert encoder(noise(4, *in_shape)).shape == (4, (6, *hidden_dims)[-1])


@every_case
@pytest.mark.parametrize("out_shape", [(6,), (2, 3), (1,)])
@pytest.mark.parametrize("hidden_dims", [(), (5,), (7, 5)])
def test_a_decoder_ends_in_its_shape(
    case: str, out_shape: tuple[int, ...], hidden_dims: tuple[int, ...]
) -> None:
    decoder = CASES[case]((3,), out_shape, hidden_dims=hidden_dims)
    for lead in ((4,), (2, 4)):
        assert decoder(noise(*lead, 3)).shape == (*lead, *out_shape)


@every_case
def test_the_widths_are_those_asked_for(case: str) -> None:
    layers = linears(CASES[case]((6,), (4,), hidden_dims=(7, 5)))
    pairs = [(layer.in_features, layer.out_features) for layer in layers]
    assert list(dict.fromkeys(pairs)) == [(6, 7), (7, 5), (5, 4)]


@every_case
def test_a_decoder_starts_without_a_bias_of_its_own(case: str) -> None:
    """The offset of the likelihood is the data's; the last layer adds none to it."""
    last = linears(CASES[case]((3,), (4,), hidden_dims=(5,)))[-1]
    assert not last.bias.any()
    assert last.bias.requires_grad
    assert last.weight.any()


@every_case
def test_without_hidden_layers_it_is_linear(case: str) -> None:
    network = CASES[case]((2, 3), (2, 2), hidden_dims=()).double()
    (layer,) = linears(network)
    x = noise(5, 2, 3).double()
    torch.testing.assert_close(
        network(x).flatten(1), x.flatten(1) @ layer.weight.T + layer.bias
    )


@every_case
def test_by_default_there_are_no_hidden_layers(case: str) -> None:
    assert len(linears(CASES[case]((3,), (4,)))) == 1
    assert not linears(CASES[case]((3,), None))


@every_case
def test_it_is_the_same_in_float64_and_as_a_function(case: str) -> None:
    network = CASES[case]((3,), (4,), hidden_dims=(5,))
    x = noise(6, 3)
    out = network(x)
    assert torch.equal(
        functional_call(network, dict(network.named_parameters()), (x,)), out
    )
    assert network.double()(x.double()).dtype == torch.float64
    torch.testing.assert_close(network(x.double()).float(), out)


def test_mlp_is_its_formula() -> None:
    """W₂ f(W₁ f(W₀ x + b₀) + b₁) + b₂, and an encoder ends after an activation."""
    x = noise(5, 3).double()
    network = mlp((3,), (4,), hidden_dims=(7, 6), activation="tanh").double()
    (w0, b0), (w1, b1), (w2, b2) = [
        (layer.weight, layer.bias) for layer in linears(network)
    ]
    h = torch.tanh(torch.tanh(x @ w0.T + b0) @ w1.T + b1)
    torch.testing.assert_close(network(x), h @ w2.T + b2)
    assert type(mlp((3,), None, hidden_dims=(7, 6), activation="tanh")[-1]) is nn.Tanh


def test_gated_is_its_formula() -> None:
    layer = Gated(3, 4).double()
    x = noise(5, 3).double()
    gate = 1 / (1 + torch.exp(-(x @ layer.gate.weight.T + layer.gate.bias)))
    torch.testing.assert_close(
        layer(x), (x @ layer.linear.weight.T + layer.linear.bias) * gate
    )
    assert not torch.equal(layer.linear.weight, layer.gate.weight)


def test_gated_mlp_is_layers_of_it() -> None:
    network = gated_mlp((3,), (4,), hidden_dims=(7, 6))
    assert [type(layer) for layer in network] == [
        nn.Flatten,
        Gated,
        Gated,
        nn.Linear,
        nn.Unflatten,
    ]


# Activations


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tanh", nn.Tanh),
        ("Tanh", nn.Tanh),
        ("RELU", nn.ReLU),
        ("silu", nn.SiLU),
        ("LeakyReLU", nn.LeakyReLU),
    ],
)
def test_an_activation_by_its_name_in_any_case(
    name: str, kind: type[nn.Module]
) -> None:
    assert type(activation(name)) is kind
    network = mlp((3,), (4,), hidden_dims=(5, 5), activation=name)
    assert [type(layer) for layer in network][1:5] == [nn.Linear, kind, nn.Linear, kind]


def test_the_default_activation_is_silu() -> None:
    assert type(mlp((3,), None, hidden_dims=(5,))[-1]) is nn.SiLU


@pytest.mark.parametrize("name", _ACTIVATIONS)
def test_every_activation_works_number_by_number(name: str) -> None:
    """A softmax, say, would tie the numbers of a layer together; it is no activation."""
    f = activation(name).eval()
    x = noise(6, 5)
    alone = torch.stack([f(number) for number in x.flatten()]).reshape(6, 5)
    torch.testing.assert_close(f(x), alone)


@pytest.mark.parametrize(
    ("name", "close"), [("tahn", "tanh"), ("ReLu7", "relu"), ("sigmoidal", "sigmoid")]
)
def test_an_unknown_activation_is_refused_with_the_nearest(
    name: str, close: str
) -> None:
    with pytest.raises(
        ValueError, match=re.escape(f"unknown activation {name!r}; allowed: 'celu', ")
    ) as error:
        activation(name)
    assert str(error.value).endswith(f"; did you mean {close!r}?")


# The positive map


def test_positive_is_softplus_above_a_floor() -> None:
    raw = torch.linspace(-30, 30, 121, dtype=torch.float64)
    torch.testing.assert_close(positive(raw), 1e-4 + torch.log1p(raw.exp()))
    torch.testing.assert_close(positive(raw, floor=0.5), 0.5 + torch.log1p(raw.exp()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_positive_is_monotone_and_bounded_below(dtype: torch.dtype) -> None:
    raw = torch.tensor([-1e30, -1e3, -100, *range(-9, 30), 1e3, 1e30], dtype=dtype)
    found = positive(raw)
    assert found.isfinite().all()
    assert (found >= torch.tensor(1e-4, dtype=dtype)).all()
    assert (found.diff() >= 0).all()
    assert (positive(torch.arange(-9.0, 30.0, dtype=dtype)).diff() > 0).all()


def test_positive_is_smooth() -> None:
    """Two derivatives, also around the place where softplus is taken to be the identity."""
    raw = torch.tensor(
        [-5.0, -1e-3, 0.0, 1e-3, 5.0, 19.99, 20.01],
        dtype=torch.float64,
        requires_grad=True,
    )
    assert torch.autograd.gradcheck(positive, (raw,))
    (slope,) = torch.autograd.grad(positive(raw).sum(), raw, create_graph=True)
    torch.testing.assert_close(
        slope, raw.sigmoid(), rtol=0, atol=3e-9
    )  # exp(-20), where the identity takes over
    assert (slope > 0).all()
    (bend,) = torch.autograd.grad(slope.sum(), raw)
    torch.testing.assert_close(
        bend, raw.sigmoid() * (-raw).sigmoid(), rtol=0, atol=3e-9
    )


# What the encoder's inputs go through

COLUMNS = np.column_stack(
    [
        np.random.default_rng(0).normal([-5, 0, 100], [0.1, 1, 20], (60, 3)),
        np.full(60, 3.5),
    ]
)


def data() -> tuple[Tensor, Statistics]:
    """Rows shaped (2, 2), the last feature constant."""
    x = torch.tensor(COLUMNS).reshape(-1, 2, 2)
    return x, statistics(x.split(7))


def standardize(mode: str, noise: float = 0.0) -> Standardize:
    return Standardize((2, 2), mode, noise).double()  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["feature", "all", "none"])
def test_standardize_is_the_identity_before_the_data(mode: str) -> None:
    x, _ = data()
    assert torch.equal(standardize(mode)(x), x)


def test_standardize_by_feature() -> None:
    x, summary = data()
    module = standardize("feature")
    module.pyro_vae_start(summary)
    out = module(x).flatten(1).numpy()
    np.testing.assert_allclose(
        out[:, :3], ((COLUMNS - COLUMNS.mean(0))[:, :3] / COLUMNS.std(0)[:3]), rtol=1e-9
    )
    assert not out[:, 3].any()


def test_a_constant_feature_keeps_its_unit() -> None:
    _, summary = data()
    module = standardize("feature")
    module.pyro_vae_start(summary)
    moved = module(torch.full((1, 2, 2), 5.0, dtype=torch.float64))
    assert float(moved[0, 1, 1]) == 1.5


def test_standardize_by_all() -> None:
    x, summary = data()
    module = standardize("all")
    module.pyro_vae_start(summary)
    np.testing.assert_allclose(
        module(x), (x - COLUMNS.mean()) / COLUMNS.std(), rtol=1e-9
    )


def test_standardize_by_none_stays_the_identity() -> None:
    x, summary = data()
    module = standardize("none")
    module.pyro_vae_start(summary)
    assert torch.equal(module(x), x)


@pytest.mark.parametrize("mode", ["feature", "all", "none"])
def test_rows_that_are_all_alike_break_nothing(mode: str) -> None:
    x = torch.full((5, 2, 2), 3.0, dtype=torch.float64)
    module = standardize(mode)
    module.pyro_vae_start(statistics([x]))
    assert torch.equal(module(x), x if mode == "none" else torch.zeros_like(x))


@pytest.mark.parametrize("mode", ["feature", "all"])
def test_standardize_is_saved(mode: str) -> None:
    x, summary = data()
    first = standardize(mode)
    second = standardize(mode)
    first.pyro_vae_start(summary)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(x), first(x))


def test_noise_only_while_training() -> None:
    """Of the size that was asked for, in standardised units."""
    module = standardize("feature", noise=0.3)
    module.pyro_vae_start(data()[1])
    x = data()[0][:1].expand(5000, 2, 2)
    torch.manual_seed(0)
    clean = module.eval()(x)
    noisy = module.train()(x)
    assert torch.equal(clean, (x - module.mean) / module.std)
    added = noisy - clean
    error = 0.3 / math.sqrt(
        2 * added.numel()
    )  # of the estimated standard deviation of normal numbers
    assert abs(float(added.std()) - 0.3) < SIGMAS * error
    assert abs(float(added.mean())) < SIGMAS * 0.3 / math.sqrt(added.numel())


def test_without_noise_no_random_numbers_are_drawn() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    standardize("feature").train()(data()[0])
    standardize("feature", noise=0.3).eval()(data()[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_encoder_sees_the_noise_and_the_likelihood_the_data() -> None:
    """A denoising autoencoder: codes of corrupted rows, errors with the rows as given."""
    vae = VAE(
        data_shape=(4,),
        latent_dim=2,
        prior="flat",
        guide="delta",
        hidden_dims=(8,),
        denoise=0.5,
    ).double()
    x = noise(6, 4).double()
    seen = []
    vae.posterior.encoder.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    torch.manual_seed(0)
    found = ELBO()(vae.train().model, vae.guide, x).distortion
    torch.manual_seed(0)
    corrupted = x + 0.5 * torch.randn_like(x)
    torch.testing.assert_close(seen[0], corrupted)
    z = vae.posterior.family.head(vae.posterior.encoder(corrupted))
    torch.testing.assert_close(found, -vae.likelihood(z).log_prob(x))
    ELBO()(vae.eval().model, vae.guide, x)
    torch.testing.assert_close(seen[-1], x)


def test_standardize_says_what_it_does() -> None:
    assert (
        repr(Standardize((2, 3), "feature", 0.1))
        == "Standardize((2, 3), mode='feature', noise=0.1)"
    )
