"""The kinds that columns may have, and values that their kinds can't."""

import numpy as np
import pandas as pd
import pytest

import pyro_vae as pv
from pyro_vae.likelihoods import LIKELIHOODS
from pyro_vae.spec.column_kinds import require_kinds

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "mass": RNG.normal(3, 1, 30),
        "eggs": RNG.poisson(9, 30),
        "share": RNG.uniform(0.1, 0.9, 30),
        "species": ["owl", "tit", "hen"] * 10,
    }
)


@pytest.mark.parametrize("kind", sorted(LIKELIHOODS))
def test_every_likelihood_of_one_number_is_a_kind(kind: str) -> None:
    if kind not in {"mixed", "multinomial"}:
        require_kinds({"mass": kind})
        require_kinds({"mass": {"kind": kind}})


WRONG = {
    "nb": "did you mean 'negative_binomial'",
    "ordinl": "did you mean 'ordinal'",
    "mixed": "unknown kind 'mixed'",
    "multinomial": "unknown kind 'multinomial'",
    "lable": "did you mean 'label'",
}


@pytest.mark.parametrize("kind", WRONG)
def test_other_kinds_are_refused_with_the_column(kind: str) -> None:
    for wish in (kind, {"kind": kind}):
        with pytest.raises(ValueError, match=f"column 'mass': .*{WRONG[kind]}"):
            pv.VAE.from_data(FRAME, columns={"mass": wish})


IMPOSSIBLE = {
    "poisson": ("mass", "of whole numbers of at least 0, got .* in row 0"),
    "bernoulli": ("eggs", r"\{0, 1\}, got .* in row 0"),
    "log_normal": ("below", "of numbers above 0, got -1 in row 4"),
    "beta": ("mass", "of numbers strictly between 0 and 1, got .* in row 0"),
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_values_that_a_kind_cannot_have_name_the_column_and_the_row(kind: str) -> None:
    column, words = IMPOSSIBLE[kind]
    frame = FRAME.assign(below=np.where(np.arange(30) == 4, -1.0, 1.5))
    vae = pv.VAE.from_data(frame, columns={column: kind})
    message = f"^x: column '{column}': likelihood '{kind}' expects values in the support {words}"
    with pytest.raises(ValueError, match=message) as error:
        pv.fit(vae, frame, epochs=1, progress=False)
    assert len(str(error.value)) < 400


def test_new_rows_outside_of_the_support_name_the_column() -> None:
    vae = pv.VAE.from_data(FRAME, latent_dim=1, hidden_dims=(4,))
    new = FRAME.assign(eggs=FRAME["eggs"] - 20)
    with pytest.raises(
        ValueError, match=r"^x: column 'eggs': likelihood .* in row 0; round"
    ):
        pv.evidence(vae, new, num_particles=5)


def test_a_single_kind_of_all_columns_is_checked_by_name() -> None:
    frame = FRAME[["mass", "share"]]
    vae = pv.VAE.from_data(frame, likelihood="log_normal", latent_dim=1)
    new = frame.assign(share=-frame["share"])
    with pytest.raises(
        ValueError, match=r"^x: column 'share': likelihood 'log_normal'"
    ):
        pv.encode(vae, new)


def test_numbers_beyond_float32_are_refused_with_the_column() -> None:
    """1e45 is a number, and infinite in float32; not a word on what the cast overflowed."""
    frame = FRAME.assign(mass=FRAME["mass"].where(FRAME.index != 7, 1e45))
    vae = pv.VAE.from_data(frame, latent_dim=1)
    message = "^x: column 'mass': expected finite numbers, got inf in row 7; .*3.4e.38"
    with pytest.raises(ValueError, match=message):
        pv.fit(vae, frame, epochs=1, progress=False)
    odd = pv.data.oddities(pv.data.table(frame))
    assert any(
        "'mass' has numbers beyond float32's range" in sentence for sentence in odd
    )
