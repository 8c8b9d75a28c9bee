"""What `fit` says of labels that it can't learn."""

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
def test_classes_without_a_label() -> None:
    given = labels()
    given[2] = NAN
    with pytest.warns(UserWarning, match=r"has the label 2 \(1 of 3 classes\)"):
        fit(a_vae(), rows(), context=given, **HOW)
    with pytest.warns(UserWarning, match=r"label 0, 1, 2 \(3 of 3 classes\)"):
        fit(a_vae(), rows(), context=torch.full((8, 1), NAN), **HOW)
