"""Products in bfloat16: what is rounded, what isn't, and what is left as it was."""

import pytest
import torch
from torch import nn

from pyro_vae import VAE, fit
from pyro_vae.networks import autocast, mixed_precision
from pyro_vae.objectives import ELBO
from pyro_vae.training import CompiledStep, State, step


def vae() -> VAE:
    return VAE(
        data_shape=(64,), latent_dim=4, likelihood="bernoulli", hidden_dims=(32,)
    )


X = (torch.rand(200, 64, generator=torch.Generator().manual_seed(0)) < 0.4).float()


def test_a_product_has_eight_bits():
    """bfloat16 keeps 8 bits of each factor and of the sum: errors of at most 2^-8 of |x| @ |w|."""
    torch.manual_seed(0)
    layer = nn.Linear(50, 20)
    x = torch.randn(30, 50)
    with mixed_precision("bf16-mixed"):
        rounded = autocast(layer, x)
    exact = layer(x)
    size = x.abs() @ layer.weight.abs().T + layer.bias.abs()
    assert rounded.dtype is torch.float32
    assert (rounded != exact).any()
    assert ((rounded - exact).abs() <= 3 * 2**-8 * size).all()


def test_parameters_distributions_and_draws_stay_in_float32():
    one = vae()
    with mixed_precision("bf16-mixed"):
        q = one.posterior(X)
        p = one.likelihood(q.rsample())
        assert {q.mean.dtype, q.stddev.dtype, p.log_prob(X).dtype} == {torch.float32}
    ELBO()(one.model, one.guide, X).loss.mean().backward()
    assert {weight.grad.dtype for weight in one.parameters()} == {torch.float32}


def test_it_trains_to_about_the_same_elbo():
    options = {"epochs": 10, "batch_size": 20, "lr": 3e-3, "seed": 0}
    rounded, exact = (
        fit(vae(), X, precision=kind, **options).history
        for kind in ("bf16-mixed", "full")
    )
    assert rounded[0]["loss"] != exact[0]["loss"]
    assert rounded[-1]["elbo"] == pytest.approx(exact[-1]["elbo"], rel=5e-3)


def test_validation_is_not_rounded():
    """At a learning rate near zero all epochs validate the first weights, in full precision."""
    options = {"epochs": 1, "lr": 1e-30, "seed": 0}
    rounded, exact = (
        fit(vae(), X, precision=kind, **options).history[0]
        for kind in ("bf16-mixed", "full")
    )
    assert rounded["val_elbo"] == exact["val_elbo"]
    assert rounded["elbo"] != exact["elbo"]


def test_everything_is_as_before_afterwards():
    def interrupted():
        with mixed_precision("bfloat16", "medium"):
            assert torch.get_float32_matmul_precision() == "medium"
            raise KeyError

    assert torch.get_float32_matmul_precision() == "highest"
    with pytest.raises(KeyError):
        interrupted()
    assert torch.get_float32_matmul_precision() == "highest"
    layer = nn.Linear(3, 3)
    assert (autocast(layer, X[:, :3]) == layer(X[:, :3])).all()


@pytest.mark.slow
def test_the_compiled_step_rounds_too():
    losses = []
    compiled = CompiledStep()
    for move in (compiled, step):
        torch.manual_seed(0)
        one = vae()
        state = State(one, ELBO(), torch.optim.Adam(one.parameters(), lr=1e-3))
        with mixed_precision("bf16-mixed"):
            for _ in range(20):
                state, info = move(state, X)
        losses.append(info.loss)
    torch.testing.assert_close(*losses, rtol=2e-3, atol=0)
    nodes = compiled._one.graph.module.graph.nodes
    assert any(
        getattr(node.meta.get("val"), "dtype", None) is torch.bfloat16 for node in nodes
    )


def switches():
    """What torch's new switches show."""
    return {
        "CUDA": torch.backends.cuda.matmul.fp32_precision,
        "oneDNN": torch.backends.mkldnn.matmul.fp32_precision,
        "all": torch.backends.fp32_precision,
    }


SWITCHES = [
    (torch.backends, "tf32"),
    (torch.backends.cuda.matmul, "tf32"),
    (torch.backends.cuda.matmul, "ieee"),
    (torch.backends.mkldnn.matmul, "bf16"),
]


@pytest.mark.parametrize("old", ["highest", "medium"])
@pytest.mark.parametrize("switch", [None, *SWITCHES])
def test_the_new_switches_are_left_as_they_are(switch, old):
    """The old one can't be read beside some of them, and is the same again without them."""
    try:
        torch.set_float32_matmul_precision(old)
        for one, _ in SWITCHES:
            one.fp32_precision = "none"
        if switch is not None:
            switch[0].fp32_precision = switch[1]
        before = switches()
        with mixed_precision("full", "high"):
            assert switches() | {"all": ""} == {
                "CUDA": "tf32",
                "oneDNN": "tf32",
                "all": "",
            }
        assert switches() == before
        for one, _ in SWITCHES:
            one.fp32_precision = "none"
        assert set(switches().values()) == {"none"}
        assert torch.get_float32_matmul_precision() == old
    finally:
        torch.set_float32_matmul_precision("highest")
        for one, _ in SWITCHES:
            one.fp32_precision = "none"


def test_a_fit_is_the_same_beside_a_new_switch():
    options = {"epochs": 1, "seed": 0}
    plain = fit(vae(), X, **options).history[0]["loss"]
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        assert fit(vae(), X, **options).history[0]["loss"] == plain
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        torch.backends.cuda.matmul.fp32_precision = "none"
