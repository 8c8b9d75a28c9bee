"""Numbers at the edges: no density and no gradient is infinite or nan in float32."""

import pytest
import torch

from tests.likelihoods.families import CASES, family

EDGES = {
    "laplace": [-1e4, 0.0, 1e4],
    "student_t": [-1e4, 0.0, 1e4],
    "normal": [-1e4, 0.0, 1e4],
    "log_normal": [1e-30, 1.0, 1e30],
    "gamma": [1e-30, 1.0, 1e4],
    "beta": [1e-30, 0.5, 1 - 2**-24],
    "continuous_bernoulli": [0.0, 0.5, 1.0],
    "bernoulli": [0.0, 1.0],
    "binomial": [0.0, 6.0],
    "beta_binomial": [0.0, 1.0, 6.0],
    "poisson": [0.0, 1.0, 1e4],
    "negative_binomial": [0.0, 1.0, 1e4],
    "zero_inflated_poisson": [0.0, 1.0, 1e4],
    "zero_inflated_negative_binomial": [0.0, 1.0, 1e4],
    "categorical": [0.0, 3.0],
    "ordinal": [0.0, 1.0, 3.0],
    "multinomial": [0.0, 1.0, 1e4],
    "discretized_logistic": [0.0, 7.0, 15.0, 255.0],
}
OURS = [name for name in CASES if not name.startswith(("distribution", "mixed"))]


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("size", [0.0, 50.0])
def test_densities_and_gradients_are_finite_at_the_edges(name, size):
    built = family(name).float()
    edges = torch.tensor(EDGES[name.split(",")[0]])
    edges = edges[built.support.check(edges)] if "sized" not in name else edges
    signs = torch.cartesian_prod(
        *[torch.tensor([-1.0, 1.0])]
        * min(len(built.param_shape) and built.param_shape[0], 3)
    )
    for edge in edges:
        rows = torch.full(built.data_shape, float(edge))
        if "sized" in name:
            rows[-1] = 2.0
        for sign in signs.reshape(len(signs), -1):
            heads = sign.repeat(built.param_shape[0])[: built.param_shape[0]]
            raw = size * heads.reshape(-1, *(1 for _ in built.param_shape[1:])).expand(
                built.param_shape
            )
            raw = raw.clone().requires_grad_()
            built.zero_grad()
            p = built(raw)
            density = p.log_prob(rows)
            density.backward()
            assert density.isfinite(), (edge, sign)
            assert raw.grad.isfinite().all(), (edge, sign)
            assert all(
                parameter.grad.isfinite().all() for parameter in built.parameters()
            ), (
                edge,
                sign,
            )
            assert name.startswith("log_normal") or p.mean.isfinite().all(), (
                edge,
                sign,
            )


@pytest.mark.parametrize(
    "name", [name for name in CASES if not name.startswith("distribution")]
)
@pytest.mark.parametrize("size", [-50.0, 50.0])
def test_draws_at_the_edges_have_a_density(name, size):
    """What the model draws it also finds possible."""
    built = family(name).float()
    torch.manual_seed(0)
    p = built(torch.full(built.param_shape, size))
    drawn = p.sample((20,))
    assert built.support.check(drawn).all()
    assert p.log_prob(drawn).isfinite().all()


def test_the_levels_are_exact_far_from_the_location():
    """Fifty scales away both logistic functions are equal in float32; the difference isn't zero."""
    built = family("discretized_logistic, per feature")
    built.mean.fill_(255.0)
    built.std.fill_(3.0)
    raw = torch.zeros(built.param_shape, dtype=torch.float64)
    rows = torch.full(built.data_shape, 20.0, dtype=torch.float64)
    wide = built(raw).log_prob(rows)
    narrow = built.float()(raw.float()).log_prob(rows.float())
    assert (wide < -500).all()
    torch.testing.assert_close(narrow.double(), wide, rtol=1e-5, atol=0)
