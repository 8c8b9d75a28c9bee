"""Integers of any library are integers; warnings name the line of the caller."""

from typing import Any

import numpy as np
import pytest
import torch

from pyro_vae.arguments import as_int, warn_caller

INTEGERS = [
    3,
    np.int64(3),
    np.uint8(3),
    np.array(3),
    torch.tensor(3),
    torch.tensor(3, dtype=torch.uint8),
]
OTHERS = [
    True,
    np.True_,
    torch.tensor(True),
    3.0,
    np.float32(3),
    torch.tensor(3.0),
    "3",
    None,
    [3],
    np.array([3, 4]),
]


@pytest.mark.parametrize("value", INTEGERS, ids=lambda v: f"{type(v).__name__}-{v}")
def test_integers(value: Any) -> None:
    found = as_int(value, "n", at_least=3)
    assert found == 3
    assert type(found) is int


@pytest.mark.parametrize("value", OTHERS, ids=lambda v: f"{type(v).__name__}-{v}")
def test_what_is_no_integer(value: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^n: expected an integer of at least 1, got "
    ):
        as_int(value, "n", at_least=1)


def test_the_smallest() -> None:
    assert as_int(-7, "seed") == -7
    with pytest.raises(ValueError, match=r"^seed: expected an integer, got 0\.5$"):
        as_int(0.5, "seed")
    with pytest.raises(
        ValueError, match=r"^n: expected an integer of at least 1, got 0$"
    ):
        as_int(np.int64(0), "n", at_least=1)
    with pytest.raises(
        ValueError, match=r"^n: expected an integer, got an object of type list$"
    ):
        as_int(list(range(100)), "n")


# Warnings


def test_a_warning_names_the_line_of_the_caller() -> None:
    library: dict[str, Any] = {
        "__name__": "pyro_vae.somewhere",
        "warn_caller": warn_caller,
    }
    exec("def inner(): warn_caller('look here')\ndef outer(): inner()", library)
    for call in (lambda: warn_caller("look here"), library["inner"], library["outer"]):
        with pytest.warns(UserWarning, match="^look here$") as caught:
            call()
        assert caught[0].filename == __file__
