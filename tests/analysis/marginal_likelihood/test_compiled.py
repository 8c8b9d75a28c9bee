"""log p(x) from a compiled density of a chunk: the numbers of the eager one, and that one where it
can't be had.
"""

import warnings
from functools import partial
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae import VAE, analysis
from pyro_vae.analysis import Evidence
from pyro_vae.analysis.fitted import evaluation
from pyro_vae.analysis.marginal_likelihood.log_joint import (
    CompiledJoint,
    CompiledOnce,
    log_joint,
)

evidence = partial(analysis.evidence, method="importance")
"""Importance sampling from the guide, or from the proposal that is asked for."""

GRID: dict[str, dict[str, Any]] = {
    "bits": {"likelihood": "bernoulli"},
    "mixture": {
        "likelihood": {"kind": "binomial", "total_count": 1},
        "prior": "mixture",
        "guide": "full_rank",
    },
    "vamp": {
        "likelihood": "normal",
        "prior": {"kind": "vamp", "pseudo_inputs": 5},
        "guide": "flow",
    },
    "counts": {"likelihood": "negative_binomial", "prior": "student_t"},
    "flow": {
        "likelihood": "poisson",
        "prior": {"kind": "flow", "transform": "coupling"},
    },
}


def small(**parts: Any) -> tuple[VAE, Tensor]:
    vae = VAE(
        data_shape=(120,), latent_dim=3, hidden_dims=(8,), activation="tanh", **parts
    )
    return vae, torch.rand(7, 120, generator=torch.Generator().manual_seed(0)).round()


def assert_close(found: Evidence, expected: Evidence) -> None:
    for name in ("log_marginal", "elbo"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-4
        )
    np.testing.assert_allclose(found.ess, expected.ess, rtol=1e-3)


@pytest.mark.parametrize(
    "name",
    ["bits", *(pytest.param(n, marks=pytest.mark.slow) for n in GRID if n != "bits")],
)
def test_compiled_and_eager_agree(name: str) -> None:
    """With chunks of 2 rows by 100 draws, so that the last row and the last draws leave chunks to
    be filled up.
    """
    vae, x = small(**GRID[name])
    expected = evidence(vae, x, num_particles=130, chunk_size=260, compile="off")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evidence(vae, x, num_particles=130, chunk_size=260, compile="on")
    assert_close(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", GRID)
def test_fitted_proposals_compiled_and_eager_agree(name: str) -> None:
    """19 rows: a whole group of 16, whose slopes are compiled, and 3 whose slopes are not."""
    vae, x = small(**GRID[name])
    rows = torch.cat([x, x.roll(1, 1), x.roll(2, 1)])[:19]
    how = {"num_particles": 130, "chunk_size": 260}
    expected = analysis.evidence(vae, rows, compile="off", **how)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = analysis.evidence(vae, rows, compile="on", **how)
    assert_close(found, expected)
    assert "refined" in found.method


@pytest.mark.slow
def test_weights_that_move_later_count() -> None:
    vae, x = small(likelihood="bernoulli")
    z = torch.randn(5, 7, 3)
    with evaluation(vae):
        compiled = CompiledJoint(lambda x, z: log_joint(vae, x, z), x, z)
        for weight in vae.likelihood.parameters():
            weight.mul_(-2)
        torch.testing.assert_close(compiled(x, z), log_joint(vae, x, z))
        torch.testing.assert_close(
            compiled(x[:2], z[:3, :2]), log_joint(vae, x[:2], z[:3, :2])
        )


class Looks(nn.Module):
    """A likelihood whose Python looks at numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 120)

    def forward(self, z: Tensor) -> Distribution:
        sign = 1 if float(z.sum()) > -1e9 else -1
        return dist.Normal(sign * self.linear(z), 1.0).to_event(1)


def test_what_cannot_be_traced_stays_eager() -> None:
    vae, x = small(likelihood=Looks())
    with pytest.warns(
        UserWarning,
        match=r"stays eager: \S+test_compiled, line \d+: .*compile='off' avoids",
    ):
        found = evidence(vae, x, num_particles=50, compile="on")
    assert_close(found, evidence(vae, x, num_particles=50, compile="off"))


def test_an_error_of_the_compiler_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._inductor

    monkeypatch.setattr(
        torch._inductor, "compile", {}.pop
    )  # raises without a line of Python
    vae, x = small(likelihood="bernoulli")
    with pytest.warns(
        UserWarning, match=r"stays eager: the compiler: TypeError: dict.pop"
    ):
        found = evidence(vae, x, num_particles=50, compile="on")
    assert_close(found, evidence(vae, x, num_particles=50, compile="off"))


def test_a_graph_that_tells_otherwise_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "pyro_vae.analysis.marginal_likelihood.log_joint.CompiledJoint",
        lambda joint, x, z: lambda x, z: joint(x, z) + 1,
    )
    vae, x = small(likelihood="bernoulli")
    with pytest.warns(
        UserWarning, match=r"results differ: log p\(x, z\) -\S+, expected -"
    ):
        found = evidence(vae, x, num_particles=50, compile="on")
    assert_close(found, evidence(vae, x, num_particles=50, compile="off"))


def test_short_work_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(CompiledOnce, "__init__", never)
    vae, x = small(likelihood="bernoulli")
    evidence(vae, x, num_particles=1000)
    monkeypatch.setattr(
        "pyro_vae.analysis.marginal_likelihood.chunk_sizes.WORTH_COMPILING", 0
    )
    with pytest.raises(AssertionError):
        evidence(vae, x, num_particles=1000)


def test_row_hashes_tell_the_rows() -> None:
    vae, x = small(likelihood="bernoulli")
    found = evidence(vae, x, num_particles=2).row_hashes
    assert found.dtype == np.uint64
    assert len(set(found.tolist())) == len(x)
    np.testing.assert_array_equal(
        evidence(vae.double(), x.flip(0), num_particles=3).row_hashes, found[::-1]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compile": "step"}, "^compile: expected 'auto', 'on' or 'off', got 'step'"),
        ({"proposal": "nope"}, "^proposal: unknown proposal 'nope'"),
        ({"retry": "nope", "num_particles": 30}, "^retry: unknown proposal 'nope'"),
        ({"proposal": {"kind": "widened", "factor": 0}}, "^proposal.widened.factor: "),
    ],
)
def test_refusals_name_their_place(options: dict[str, Any], message: str) -> None:
    vae, x = small(likelihood="bernoulli")
    with pytest.raises(ValueError, match=message):
        evidence(vae, x, **options)
