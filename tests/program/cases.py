"""Models whose programs are compared with them: fields of `VAE`, and rows."""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

_generator = torch.Generator().manual_seed(0)
_NORMAL = torch.randn(12, 6, generator=_generator)
_UNIFORM = torch.rand(12, 6, generator=_generator)
REAL = _NORMAL
POSITIVE = _NORMAL.exp()
SHARES = _UNIFORM.clamp(0.01, 0.99)
BITS = (_UNIFORM > 0.5).float()
COUNTS = torch.poisson(3 * POSITIVE, generator=_generator)
LEVELS = (3 * _UNIFORM).floor()
UP_TO_16 = (17 * _UNIFORM).floor()
IMAGES = torch.rand(12, 12, 8, generator=_generator)

Case = tuple[dict[str, Any], Tensor]


def likelihood(kind: str, x: Tensor, **options: Any) -> Case:
    return {"likelihood": {"kind": kind, **options}}, x


def _likelihoods() -> dict[str, Case]:
    rows = {
        "normal": REAL,
        "laplace": REAL,
        "student_t": REAL,
        "log_normal": POSITIVE,
        "gamma": POSITIVE,
        "beta": SHARES,
        "continuous_bernoulli": SHARES,
        "bernoulli": BITS,
        "poisson": COUNTS,
        "negative_binomial": COUNTS,
        "zero_inflated_poisson": COUNTS,
        "zero_inflated_negative_binomial": COUNTS,
    }
    return {kind: likelihood(kind, x) for kind, x in rows.items()} | {
        "binomial": likelihood("binomial", UP_TO_16, total_count=16),
        "beta_binomial": likelihood("beta_binomial", UP_TO_16, total_count=16),
        "categorical": likelihood("categorical", LEVELS, num_classes=3),
        "multinomial": likelihood("multinomial", COUNTS, total_count=5),
        "ordinal": likelihood("ordinal", LEVELS, num_classes=3),
        "discretized_logistic": likelihood("discretized_logistic", UP_TO_16, levels=17),
        "distribution": likelihood("distribution", REAL, name="Gumbel"),
    }


def _options() -> dict[str, Case]:
    """The options of likelihoods that change their programs."""
    option = {
        "normal": ("scale", REAL),
        "laplace": ("scale", REAL),
        "student_t": ("scale", REAL),
        "log_normal": ("scale", POSITIVE),
        "gamma": ("concentration", POSITIVE),
        "beta": ("concentration", SHARES),
        "negative_binomial": ("dispersion", COUNTS),
        "zero_inflated_negative_binomial": ("dispersion", COUNTS),
    }
    cases = {
        f"{kind}, {name} {value}": likelihood(kind, x, **{name: value})
        for kind, (name, x) in option.items()
        for value in (0.5, "learned", "decoder")
    }
    for value in (0.5, "learned", "decoder"):
        cases[f"discretized_logistic, scale {value}"] = likelihood(
            "discretized_logistic", UP_TO_16, levels=17, scale=value, mixtures=2
        )
    return cases | {
        "normal, initial_scale": likelihood("normal", REAL, initial_scale=0.7),
        "student_t, df": likelihood("student_t", REAL, df="decoder", scale="decoder"),
        "student_t, fixed df": likelihood("student_t", REAL, df=3.0),
        "binomial, each": likelihood("binomial", UP_TO_16, total_count=[16] * 6),
        "ordinal, two": likelihood("ordinal", BITS, num_classes=2),
        **{
            f"{kind}, size factor": likelihood(kind, COUNTS + 1, size_factor="column")
            for kind in (
                "poisson",
                "negative_binomial",
                "zero_inflated_poisson",
                "zero_inflated_negative_binomial",
            )
        },
        "poisson, total": likelihood("poisson", COUNTS + 1, size_factor="total"),
        "zero_inflated_negative_binomial, total": likelihood(
            "zero_inflated_negative_binomial", COUNTS + 1, size_factor="total"
        ),
        "normal, full": likelihood("normal", REAL, covariance="full"),
        "normal, low rank": likelihood("normal", REAL, covariance="low_rank", rank=2),
        "normal, warp": likelihood("normal", REAL, warp="asinh", scale="decoder"),
        "normal, full warp": likelihood(
            "normal", REAL, covariance="full", warp="asinh"
        ),
        "Exponential": likelihood("distribution", POSITIVE, name="Exponential"),
        "Gumbel, fixed": likelihood(
            "distribution", REAL, name="Gumbel", fixed={"scale": 0.5}
        ),
        "LogNormal": likelihood("distribution", POSITIVE, name="LogNormal"),
    }


def _priors() -> dict[str, Case]:
    kinds = ("standard_normal", "normal", "laplace", "student_t", "mixture", "vamp")
    tops = ("standard_normal", "normal", "laplace", "student_t", "mixture")
    cases: dict[str, Case] = {
        f"prior {kind}": ({"prior": kind}, REAL) for kind in kinds
    }
    for top in tops:
        prior = {"kind": "hierarchical", "top_dim": 1, "top": top}
        cases[f"prior hierarchical of {top}"] = ({"prior": prior}, REAL)
    learned = {"scale": "learned"}
    flow = {"kind": "flow", "transforms": 3, "hidden_dims": (5,)}
    return cases | {
        "prior flow": ({"prior": flow}, REAL),
        "prior hierarchical of flow": (
            {"prior": {"kind": "hierarchical", "top_dim": 2, "top": flow}},
            REAL,
        ),
        **{
            f"prior flow, {transform}": (
                {"prior": {**flow, "transform": transform}},
                REAL,
            )
            for transform in ("autoregressive", "spline")
        },
        "prior flat": ({"prior": "flat", "guide": "delta"}, REAL),
        "prior laplace, learned": ({"prior": {"kind": "laplace", **learned}}, REAL),
        "prior student_t, learned": (
            {"prior": {"kind": "student_t", "df": "learned", **learned}},
            REAL,
        ),
    }


def _networks() -> dict[str, Case]:
    image = {"data_shape": (12, 8)}
    conv = {**image, "encoder": "conv", "decoder": "conv"}
    own = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.LeakyReLU(0.2))
    layers = {
        "first": torch.nn.Linear(6, 7),
        "norms": torch.nn.Sequential(
            torch.nn.LayerNorm(7, eps=0.1), torch.nn.LayerNorm(7, bias=False)
        ),
        "fixed": torch.nn.LayerNorm(7, elementwise_affine=False),
        "last": torch.nn.Linear(7, 5),
    }
    named = torch.nn.Sequential(OrderedDict(layers))
    both = {"encoder": "gated_mlp", "decoder": "residual"}
    return {
        "gated_mlp": ({"encoder": "gated_mlp", "decoder": "gated_mlp"}, REAL),
        "residual": (both | likelihood("normal", REAL, scale="decoder")[0], REAL),
        "conv": (conv, IMAGES),
        "conv of two outputs": (
            {**conv, "likelihood": "beta", "prior": "vamp"},
            IMAGES.clamp(0.01, 0.99),
        ),
        "images": ({**image, "denoise": 0.1, "guide": "full_rank"}, IMAGES),
        "own encoder": ({"encoder": own}, REAL),
        "named layers": ({"encoder": named}, REAL),
        "no standardize": ({"standardize": "none", "activation": "leakyrelu"}, REAL),
        "linear": ({"hidden_dims": ()}, REAL),
    }


def _flows() -> dict[str, Case]:
    return {
        f"guide flow, {transform}": (
            {"guide": {"kind": "flow", "transform": transform, "hidden_dims": (5,)}},
            REAL,
        )
        for transform in ("coupling", "autoregressive", "spline")
    }


def _mixed() -> dict[str, Any]:
    """A likelihood of six columns: real numbers, bits, categories and counts."""
    columns = [
        {"columns": "0:2", "kind": "normal", "scale": "decoder"},
        {"columns": [4], "kind": "bernoulli"},
        {"columns": [2, 5], "kind": "categorical", "num_classes": 3},
        {"columns": 3, "kind": "log_normal"},
    ]
    return {"likelihood": {"kind": "mixed", "columns": columns}}


def _rows() -> dict[str, Case]:
    """Rows of several kinds, and with missing cells."""
    parts = [REAL[:, :2], LEVELS[:, :1], POSITIVE[:, :1], BITS[:, :1], LEVELS[:, 1:2]]
    mixed = torch.cat(parts, 1)
    missing = {"missing": "at_random"}
    is_missing = torch.rand(12, 6, generator=_generator) < 0.3
    holes, mixed_holes = (x.masked_fill(is_missing, torch.nan) for x in (REAL, mixed))
    image_holes = IMAGES.masked_fill(IMAGES < 0.2, torch.nan)
    counts = [{"columns": "0:3", "kind": "binomial", "total_count": 16}]
    counts.append({"columns": "3:6", "kind": "multinomial"})
    size = {"size_factor": "column"}
    sized = [{"columns": "0:3", "kind": "poisson", **size}]
    sized.append({"columns": "3:6", "kind": "negative_binomial", **size})
    totals = [{"columns": "0:3", "kind": "poisson", "size_factor": "total"}]
    totals.append({"columns": "3:6", "kind": "negative_binomial", **size})
    correlated = [{"columns": "0:3", "kind": "normal", "covariance": "full"}]
    correlated.append({"columns": "3:6", "kind": "poisson"})
    image = {"data_shape": (12, 8), "encoder": "conv"}
    return {
        "mixed": (_mixed(), mixed),
        "mixed, missing": (_mixed() | missing, mixed_holes),
        "binomial and multinomial": (
            {"likelihood": {"kind": "mixed", "columns": counts}},
            UP_TO_16,
        ),
        "mixed with correlations": (
            {"likelihood": {"kind": "mixed", "columns": correlated}},
            torch.cat([REAL[:, :3], COUNTS[:, :3]], 1),
        ),
        "mixed with size factors": (
            {"likelihood": {"kind": "mixed", "columns": sized}},
            COUNTS + 1,
        ),
        "mixed with a total": (
            {"likelihood": {"kind": "mixed", "columns": totals}},
            COUNTS + 1,
        ),
        "missing": (missing, holes),
        "missing of images": ({**image, **missing, "denoise": 0.1}, image_holes),
    }


CASES = {
    **_likelihoods(),
    **_options(),
    **_priors(),
    **{f"guide {kind}": ({"guide": kind}, REAL) for kind in ("low_rank", "full_rank")},
    "guide delta": ({"guide": "delta"}, REAL),
    "guide hierarchical": ({"guide": {"kind": "hierarchical", "top_dim": 1}}, REAL),
    **_flows(),
    **_rows(),
    **_networks(),
}

SLOW = _options()
"""Further options of kinds that are among the others."""

DIGITS_DIFFER = (
    "student_t",
    "normal, full",
    "normal, low rank",
    "beta",
    "continuous_bernoulli",
    "poisson",
    "negative_binomial",
    "zero_inflated",
    "mixed with",
    "multinomial",
    "binomial",
    "gamma",
    "prior student_t",
    "prior mixture",
    "prior hierarchical of student_t",
    "prior hierarchical of mixture",
    "guide low_rank",
    "guide full_rank",
    "guide hierarchical",
    "guide flow",
    "images",
    "conv of two",
)
"""How the names of those models begin whose densities have more digits than torch's in float32."""
