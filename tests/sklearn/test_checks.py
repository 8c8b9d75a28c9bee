"""The checks that scikit-learn has for estimators, and the parameters of ours."""

import inspect
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from pyro_vae.sklearn import VAEDensity, VAEImputer
from pyro_vae.sklearn.base import MODEL, STAND_INS, TRAINING
from pyro_vae.spec import Spec
from pyro_vae.training.options import FitOptions

TINY: dict[str, Any] = {
    "latent_dim": 2,
    "hidden_dims": (8,),
    "epochs": 2,
    "validation": None,
    "random_state": 0,
    "device": "cpu",
    "fit_options": {"compile": "off"},
}
ESTIMATORS = [
    VAEDensity(num_particles=20, **TINY),
    VAEImputer(num_particles=200, **TINY),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks_it(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("made", [VAEDensity, VAEImputer])
def test_parameters_are_fields_and_options_with_their_defaults(made: Any) -> None:
    defaults = made().get_params()
    model = Spec(data_shape=(1,))
    for name in MODEL:
        expected = getattr(model, name)
        assert defaults[name] == getattr(expected, "kind", expected)
    options = FitOptions()
    assert {name: defaults[name] for name in TRAINING} == {
        name: getattr(options, name) for name in TRAINING
    }


def test_both_have_the_same_parameters_but_those_of_imputers() -> None:
    density, imputer = (
        inspect.signature(made.__init__).parameters for made in (VAEDensity, VAEImputer)
    )
    own = {"sample_posterior", "keep_empty_features"}
    assert set(imputer) - set(density) == own
    assert set(density) - set(imputer) == set()
    differing = {
        name for name in density if density[name].default != imputer[name].default
    }
    assert differing == {"missing"}


@pytest.mark.parametrize("name", [*TRAINING, *STAND_INS])
def test_a_parameter_among_the_other_options_is_refused(name: str) -> None:
    density = VAEDensity(fit_options={name: 1})
    word = STAND_INS.get(name, name)
    message = rf"^fit_options: .* VAEDensity, got '{name}'; pass {word}= itself$"
    with pytest.raises(ValueError, match=message):
        density.fit([[0.0], [1.0]])
    assert word in density.get_params()


def test_other_options_without_values_are_refused() -> None:
    message = r"^fit_options: expected a dict .*, got \['compile'\]; pass names with v"
    with pytest.raises(ValueError, match=message):
        VAEDensity(fit_options=["compile"]).fit([[0.0], [1.0]])
