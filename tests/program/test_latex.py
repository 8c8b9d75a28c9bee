"""The formulas of every kind are LaTeX that matplotlib's parser of mathematics reads."""

import re
from typing import Any

import pyro.distributions as dist
import pytest
import torch
from matplotlib.mathtext import MathTextParser

import pyro_vae as pv
from pyro_vae.program.latex import GUIDES, LIKELIHOODS, PRIORS, latex_of
from pyro_vae.registry import Registry
from tests.program.test_program import small

PARSER = MathTextParser("path")


def require_mathematics(text: str) -> None:
    """Parse each formula of an `aligned` environment."""
    first, *lines, last = text.splitlines()
    assert (first, last) == (r"\begin{aligned}", r"\end{aligned}")
    assert all(line.endswith(r" \\") for line in lines[:-1])
    for line in lines:
        formula = line.removesuffix(r" \\").replace("&", "")
        PARSER.parse(f"${formula}$")


NEEDED = {
    ("prior", "hierarchical"): {"top_dim": 1},
    ("guide", "hierarchical"): {"top_dim": 1},
    ("likelihood", "binomial"): {"total_count": 16},
    ("likelihood", "beta_binomial"): {"total_count": 16},
    ("likelihood", "categorical"): {"num_classes": 3},
    ("likelihood", "ordinal"): {"num_classes": 3},
    ("likelihood", "distribution"): {"name": "Gumbel"},
    ("likelihood", "mixed"): {
        "columns": [
            {"columns": "0:2", "kind": "normal"},
            {"columns": "2:6", "kind": "poisson"},
        ]
    },
}
ROOMS: dict[str, Registry] = {
    "prior": pv.PRIORS,
    "likelihood": pv.LIKELIHOODS,
    "guide": pv.GUIDES,
}


@pytest.mark.parametrize(
    ("slot", "kind"), [(slot, kind) for slot, kinds in ROOMS.items() for kind in kinds]
)
def test_every_kind_has_a_formula(slot: str, kind: str) -> None:
    options = {"kind": kind, **NEEDED.get((slot, kind), {})}
    other = {"guide": "delta"} if kind == "flat" else {}
    spec = pv.Spec(data_shape=(6,), latent_dim=3, **{slot: options}, **other)
    known = {"prior": PRIORS, "likelihood": LIKELIHOODS, "guide": GUIDES}[slot]
    assert kind in known or kind == "mixed"
    text = latex_of(spec)
    require_mathematics(text)
    assert not re.search(r"%\(|None", text)


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"latent_dim": 5}, r"z \in \mathbb{R}^{5}"),
        ({"prior": {"kind": "mixture", "components": 7}}, r"\sum_{k=1}^{7} \pi_k"),
        ({"likelihood": {"kind": "normal", "covariance": "full"}}, r"\Sigma)"),
        ({"likelihood": {"kind": "normal", "warp": "asinh"}}, r"t(x) \mid"),
        (
            {"guide": {"kind": "hierarchical", "top_dim": 1, "direction": "bottom_up"}},
            r"q(z \mid x) = \mathcal{N}(z_1",
        ),
        ({"guide": {"kind": "low_rank", "rank": 2}}, r"\operatorname{rank} V = 2"),
        (
            {"likelihood": {"kind": "poisson", "size_factor": "column"}},
            r"\prod_{i < 6} \mathrm{Poisson}(x_i \mid x_{6}\, r_i(z))",
        ),
        (
            {
                "likelihood": {
                    "kind": "zero_inflated_negative_binomial",
                    "size_factor": "column",
                }
            },
            r"\mathrm{NB}(x_i \mid x_{6}\, m_i(z), \theta_i)",
        ),
    ],
)
def test_options_are_in_the_formulas(fields: dict[str, Any], part: str) -> None:
    text = small(**fields).latex()
    require_mathematics(text)
    assert part in text.replace("&", "")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (
            {"kind": "normal", "covariance": "full"},
            r"\mathcal{N}(x_{\{2, 4, 6\}} \mid \mu(z), \Sigma)",
        ),
        (
            {"kind": "normal", "warp": "asinh"},
            r"\mathcal{N}(t(x_{\{2, 4, 6\}}) \mid \mu(z), \Sigma)"
            r" \prod_{i \in \{2, 4, 6\}} t'(x_i)",
        ),
        (
            {"kind": "multinomial"},
            r"\mathrm{Multinomial}(x_{\{2, 4, 6\}} \mid \sum_{i \in \{2, 4, 6\}} x_i,",
        ),
        (
            {"kind": "negative_binomial", "size_factor": "column"},
            r"\prod_{i \in \{2, 4\}} \mathrm{NB}(x_i \mid x_{6}\, m_i(z), \theta_i)",
        ),
    ],
    ids=["correlated", "warped", "multinomial", "size factor"],
)
def test_the_factor_of_a_group_names_its_columns(
    options: dict[str, Any], part: str
) -> None:
    """They are counted from 1, as in (x_1, ..., x_6)."""
    groups = [
        {"columns": [0, 2, 4], "kind": "poisson"},
        {"columns": [1, 3, 5], **options},
    ]
    text = small(likelihood={"kind": "mixed", "columns": groups}).latex()
    require_mathematics(text)
    assert r"\prod_{i \in \{1, 3, 5\}} \mathrm{Poisson}(x_i \mid r_i(z)) \; " in text
    assert part in text


def test_a_part_of_the_user_has_its_name_only() -> None:
    prior = dist.Normal(torch.zeros(3), 1.0).to_event(1)
    text = small(prior=prior).latex()
    require_mathematics(text)
    assert r"p(z) &= p(z) \;\text{(custom)}," in text
