"""The program of a model with a context: its densities, its draws and its ELBO."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO
from torch import Tensor, nn

import pyro_vae as pv
from tests.program.test_program import moved, program

RANDOM = torch.Generator().manual_seed(0)
ROWS = 12
ODD = 'it\'s "odd"\n\\'
LEVEL = np.arange(ROWS) % 3
FRAME = pd.DataFrame(
    {
        "site": np.array(["a", "b", "c"])[LEVEL],
        ODD: np.array(["k0", "k1"])[LEVEL % 2],
        "age": np.linspace(20, 80, ROWS),
        "species": ["owl", "tit", None, "jay"] * 3,
        "wing": np.linspace(-1, 1, ROWS) ** 2,
        "mass": np.linspace(1, 3, ROWS),
    }
)
NUMBERS = ["site", "age"]
EFFECTS = {
    ODD: {"kind": "random_effect", "scale": 0.3, "dim": 2},
    "age": "normal",
    "site": "random_effect",
}
Case = tuple[dict[str, Any], tuple[int, ...]]
CASES: dict[str, Case] = {
    "levels": ({"context": {"columns": NUMBERS}}, (2,)),
    "all layers": (
        {"context": {"columns": NUMBERS, "layers": "all", "embedding": 2}},
        (2,),
    ),
    "effects and label": (
        {"context": {"columns": EFFECTS, "label": "species"}},
        (2,),
    ),
    "effects": ({"context": {"columns": EFFECTS}}, (2,)),
    "label": (
        {
            "context": {
                "columns": NUMBERS,
                "label": {"column": "species", "prior": "learned"},
            },
            "missing": "at_random",
        },
        (2,),
    ),
    "label alone": ({"context": {"label": 4}}, (3,)),
    "many numbers": ({"context": {"dim": 40, "encoder": False}}, (3,)),
    "no prior": ({"context": {"dim": 2, "prior": False}, "prior": "flow"}, (3,)),
    "prior alone": ({"context": {"dim": 2, "encoder": False, "decoder": False}}, (3,)),
    "images": (
        {
            "context": {"dim": 1, "label": 3},
            "encoder": "conv",
            "decoder": "conv",
            "missing": "at_random",
        },
        (8, 8),
    ),
    "flat images": ({"context": {"dim": 2}, "denoise": 0.1}, (2, 3)),
    "gated": (
        {
            "context": {"dim": 2},
            "encoder": "gated_mlp",
            "decoder": "residual",
            "hidden_dims": (4, 4),
        },
        (3,),
    ),
    "own encoder": ({"context": {"dim": 2}, "encoder": nn.Linear(3, 5)}, (3,)),
    **{
        f"guide {kind}": ({"context": {"dim": 2}, "guide": guide}, (3,))
        for kind, guide in {
            "flow": {"kind": "flow", "hidden_dims": (5,)},
            "full_rank": "full_rank",
            "hierarchical": {"kind": "hierarchical", "top_dim": 1},
        }.items()
    },
}
QUICK = ("all layers", "effects and label")
NAMES = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in CASES
]
DIGITS_DIFFER = ("guide", "images")
"""How the names of those models begin whose densities have more digits than torch's in float32."""


def a_vae(name: str) -> pv.VAE:
    """A small model, at weights and units at which no term is zero."""
    fields, shape = copy.deepcopy(CASES[name])
    whole = {"latent_dim": 2, "hidden_dims": (5, 4), **fields}
    given = fields["context"]
    if "dim" in given or isinstance(given.get("label"), int):
        return moved(pv.VAE(data_shape=shape, **whole))
    names = [*given.get("columns", ())]
    names += ["species"] if "label" in given else []
    return moved(pv.VAE.from_data(FRAME[[*names, "wing", "mass"]], **whole))


def rows_of(vae: pv.VAE, known: bool = False) -> tuple[Tensor, Tensor]:
    """Rows and contexts, with unknown labels, missing cells and new levels of random effects."""
    context = vae.spec.context
    assert context is not None
    x = torch.randn(ROWS, *vae.spec.data_shape, generator=RANDOM)
    if vae.spec.missing != "none":
        x = x.masked_fill(x > 1, torch.nan)
    new = {effect.position for effect in context.effects}
    columns = []
    for position, levels in enumerate(context.levels):
        column = torch.randn(ROWS, generator=RANDOM)
        if levels:
            column = (torch.arange(ROWS) % (levels + (position in new))).float()
        columns.append(column)
    if context.label is not None and not known:
        columns[-1][::3] = torch.nan
    return x, torch.stack(columns, -1)


def both(name: str, folder: Path, dtype: torch.dtype) -> tuple[pv.VAE, Any]:
    """A model and what its program makes of its saved weights."""
    vae = a_vae(name)
    pv.save(vae, folder / "run")
    own = program(vae).load(folder / "run" / "model.safetensors")
    return vae.to(dtype), own.to(dtype)


@contextmanager
def default(dtype: torch.dtype) -> Iterator[None]:
    """That of new tensors, as Pyro's sum over labels asks for."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def seeded(call: Any, *given: Any, **named: Any) -> Any:
    with (
        pyro.get_param_store().scope(),
        pyro.settings.context(module_local_params=True),
        torch.no_grad(),
    ):
        pyro.set_rng_seed(3)
        return call(*given, **named)


def same(name: str, found: Any, expected: Any) -> None:
    """To the last digit, or to 1e-6 where the library's density has more than torch's."""
    found, expected = torch.as_tensor(found), torch.as_tensor(expected)
    tolerance = 0.0
    if name.startswith(DIGITS_DIFFER):
        tolerance = 1e-5 if expected.dtype == torch.float32 else 1e-9
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_the_program_is_the_model(
    name: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    vae, own = both(name, tmp_path, dtype)
    x, context = (each.to(dtype) for each in rows_of(vae))
    elbo: Any = Trace_ELBO()
    if vae.model.label is not None:
        elbo = TraceEnum_ELBO(max_plate_nesting=1)
    with default(dtype):
        expected = seeded(elbo.loss, vae.model, vae.guide, x, context)
        found = seeded(elbo.loss, own.model, own.guide, x, context)
    if name.startswith(DIGITS_DIFFER):
        assert found == pytest.approx(expected, rel=1e-5)
    else:
        assert found == expected
    drawn = seeded(own.model, context=context)
    same(name, drawn, seeded(vae.model, context=context))
    z = seeded(torch.randn, ROWS, 2, dtype=dtype)
    x, context = (each.to(dtype) for each in rows_of(vae, known=True))
    same_densities(name, vae, own, x, context, z)


def same_densities(
    name: str, vae: pv.VAE, own: Any, x: Tensor, context: Tensor, z: Tensor
) -> None:
    """p(z | c), p(x | z, c), q(z | x, c) and q(y | x, c) at points."""
    given = vae.given(context)
    placed = own.given(context) if hasattr(own, "given") else context
    takes = vae.spec.context
    assert takes is not None
    p_z = own.prior(*[placed] * takes.prior)
    p_x = own.likelihood(z, *[placed] * takes.decoder)
    q_z = own.posterior(x, *[placed] * takes.encoder)
    with torch.no_grad():
        same(name, p_z.log_prob(z), given.prior().log_prob(z))
        same(name, p_x.log_prob(x), given.likelihood(z).log_prob(x))
        same(name, q_z.log_prob(z), given.posterior(x).log_prob(z))
        if vae.model.label is not None:
            log_q = vae.guide.log_q_y(x, context)
            same(
                name, own.label(x, placed).logits, dist.Categorical(logits=log_q).logits
            )


def test_the_text_says_what_the_numbers_are() -> None:
    text = a_vae("effects and label").program()
    assert f"# context[:, 0] is {ODD!r}: 0 'k0', 1 'k1', 2 a new one\n" in text
    assert "# context[:, 3] is 'species': 0 'jay', 1 'owl', 2 'tit'\n" in text
    assert "N rows, vae.model(x, c, N)" in text
    assert max(map(len, text.splitlines())) <= 110
    many = a_vae("many numbers").program()
    assert "LEVELS = [None] * 40\n" in many
    assert "posterior(self, x):  # z ~ N(μ(x)," in many
    assert "prior(self, context):  # z ~ N(μ(c)," in many
    assert "z ~ N(μ(x, c), diag" in text


def test_the_effects_of_batches_add_up_to_those_of_all_rows() -> None:
    """log p(u, x, z) of a part of the rows, scaled by their number, is unbiased for all rows."""
    own = program(a_vae("effects"))
    x, context = rows_of(a_vae("effects"))
    with pyro.get_param_store().scope(), torch.no_grad():
        z = torch.randn(ROWS, 2)
        sites = poutine.trace(own.guide).get_trace(x, context).nodes
        u = {name: site["value"] for name, site in sites.items() if "effect" in name}

        def log_p(part: slice, *size: int) -> Tensor:
            model = poutine.condition(own.model, {**u, "z": z[part]})
            trace = poutine.trace(model).get_trace(x[part], context[part], *size)
            total: Tensor = trace.log_prob_sum()
            return total

        halves = [log_p(slice(0, 4), ROWS), log_p(slice(4, ROWS), ROWS)]
        expected = log_p(slice(0, ROWS))
    assert len(u) == 2
    mean = (4 * halves[0] + 8 * halves[1]) / ROWS
    torch.testing.assert_close(mean, expected)


@pytest.mark.slow
def test_several_particles_share_a_draw_of_their_own() -> None:
    """Plates of particles stand to the left of the rows, also of random effects."""
    vae = a_vae("effects")
    own = program(vae)
    x, context = rows_of(vae)
    elbo = Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1)
    assert np.isfinite(seeded(elbo.loss, own.model, own.guide, x, context))


@pytest.mark.slow
def test_a_program_with_labels_and_effects_is_trained_by_svi() -> None:
    vae = a_vae("effects and label")
    own = program(vae)
    x, context = rows_of(vae)
    with pyro.get_param_store().scope():
        optimizer = pyro.optim.Adam({"lr": 0.03})
        elbo = TraceEnum_ELBO(max_plate_nesting=1)
        svi = SVI(own.model, own.guide, optimizer, elbo)
        losses = [svi.step(x + 3, context, 50) for _ in range(60)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
