"""What `fit` says of labels that it can't learn."""

import math
import warnings
from typing import Any

import pytest
import torch

from pyro_vae import fit
from tests.labels.models import CLASSES, NAN, a_vae, labels, rows

HOW: dict[str, Any] = {"epochs": 1, "validation": None, "progress": False}


@pytest.mark.filterwarnings("ignore:fit. the")
def test_no_weight() -> None:
    vae = a_vae({"classes": CLASSES, "weight": 0.0})
    with pytest.warns(UserWarning, match="label weight 0"):
        fit(vae, rows(), context=labels(), **HOW)


@pytest.mark.filterwarnings("ignore:fit. the")
def test_the_bound_is_without_the_terms_of_the_label() -> None:
    run = fit(a_vae(), rows(), context=labels(), objective="iwae", **HOW)
    assert run.bound == run.elbo


@pytest.mark.filterwarnings("ignore:fit. the")
def test_classes_without_a_label() -> None:
    given = labels()
    given[2] = NAN
    with pytest.warns(UserWarning, match=r"has the label 2 \(1 of 3 classes\)"):
        fit(a_vae(), rows(), context=given, **HOW)
    with pytest.warns(UserWarning, match=r"label 0, 1, 2 \(3 of 3 classes\)"):
        fit(a_vae(), rows(), context=torch.full((8, 1), NAN), **HOW)


def test_a_label_is_in_the_score_to_beat() -> None:
    """As it is in the bound, log p(x, y), of the rows whose label is known."""
    given = labels()
    given[2:5] = NAN
    vae = a_vae()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = fit(vae, rows(), context=given, **HOW)
    with torch.no_grad():
        log_p = vae.likelihood.independent().log_prob(rows())
    share = float((~given.isnan()).float().mean())
    expected = float(log_p.mean()) - share * math.log(CLASSES)
    assert run.baseline == pytest.approx(expected, rel=1e-5)
