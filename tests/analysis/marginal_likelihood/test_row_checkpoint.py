"""An evaluation that was killed goes on from the rows done, to the numbers of one in one piece."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Distribution

from pyro_vae import VAE
from pyro_vae.analysis import Evidence, evidence
from pyro_vae.analysis.marginal_likelihood import (
    automatic,
    importance_sampling,
    row_checkpoint,
)
from pyro_vae.analysis.marginal_likelihood.until import Until
from pyro_vae.training import fit
from tests.analysis.marginal_likelihood.bimodal import ambiguous, bimodal_vae
from tests.training.small import X, small

ROWS = ambiguous(20)
HOW: dict[str, Any] = {"num_particles": 30, "chunk_size": 64}  # 4 rows in a group


def wide(vae: VAE, rows: torch.Tensor) -> Distribution:
    """A proposal of the user's own."""
    distribution: Distribution = torch.distributions.Independent(
        torch.distributions.Normal(torch.zeros(1, 2).double(), 4.0), 1
    )
    return distribution


METHODS: dict[str, dict[str, Any]] = {
    "auto": {},
    "until": {"until": Until(se=0.2, max_particles=60)},
    "importance": {"method": "importance", "retry": "defensive"},
    "own": {"proposal": wide},
}
SLOW = {"auto": pytest.mark.slow, "until": pytest.mark.slow}


class PowerCut(BaseException):
    """What no evaluation survives."""


def cut_after(count: int, estimate: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which fails when it was called so many times."""
    calls = []

    def counted(*arguments: Any) -> Any:
        if len(calls) == count:
            raise PowerCut
        calls.append(arguments)
        return estimate(*arguments)

    return counted


def same(one: Evidence, other: Evidence) -> None:
    """All numbers are equal to the last bit; only the clock isn't."""
    for field in fields(Evidence):
        if field.name != "seconds":
            np.testing.assert_array_equal(
                getattr(one, field.name), getattr(other, field.name), field.name
            )
    assert one.method.dtype == other.method.dtype


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=SLOW.get(name, ())) for name in METHODS]
)
def test_every_cut_goes_on_to_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut before each estimate of a group, and written at once, as in a kill."""
    monkeypatch.setattr(row_checkpoint, "SECONDS", 0.0)
    monkeypatch.setattr(row_checkpoint, "PAUSE", 0.0)
    monkeypatch.setattr(automatic, "QUEUE", 4)
    how = HOW | METHODS[name]
    vae = bimodal_vae()
    whole = evidence(vae, ROWS, **how)
    places = [(importance_sampling, "_estimate")]
    if name in ("auto", "until"):
        places = [(automatic, "first_estimate"), (automatic, "second_estimate")]
        assert whole.retried.sum() > 4
    cuts = 0
    for module, function in places:
        estimate = getattr(module, function)
        for count in range(5):
            path = tmp_path / f"{function} {count}"
            with monkeypatch.context() as patch:
                patch.setattr(module, function, cut_after(count, estimate))
                patch.setattr(
                    row_checkpoint.RowCheckpoint, "written_at_the_end", no_block
                )
                try:
                    same(evidence(vae, ROWS, checkpoint=path, **how), whole)
                except PowerCut:
                    cuts += 1
            same(evidence(vae, ROWS, checkpoint=path, **how), whole)
    assert cuts >= 5


def no_block(checkpoint: row_checkpoint.RowCheckpoint) -> Any:
    """What a kill leaves of the writing at the end."""
    return nullcontext()


def refuse(*arguments: Any) -> Any:
    raise AssertionError("estimated again")


def test_nothing_that_is_done_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows"
    vae = bimodal_vae()
    whole = evidence(vae, ROWS, checkpoint=path, **HOW)
    for name in ("first_estimate", "second_estimate"):
        monkeypatch.setattr(automatic, name, refuse)
    same(evidence(vae, ROWS, checkpoint=path, **HOW), whole)
    with pytest.raises(AssertionError, match="estimated again"):
        evidence(vae, ROWS + 1, checkpoint=path, **HOW)
    with pytest.raises(AssertionError, match="estimated again"):
        evidence(vae, ROWS, checkpoint=path, seed=1, **HOW)


def test_of_another_model_nothing_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    how = HOW | METHODS["importance"]
    vae = bimodal_vae()
    evidence(vae, ROWS, checkpoint=path, **how)
    decoder: Any = vae.likelihood.get_parameter("decoder.weight")
    decoder.data += 0.1
    expected = evidence(vae, ROWS, **how)
    same(evidence(vae, ROWS, checkpoint=path, **how), expected)


@pytest.mark.parametrize("function", ["first_estimate", "second_estimate"])
def test_an_error_and_a_signal_keep_the_rows_done(
    function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five groups are estimated first, and some of their rows a second time."""
    path = tmp_path / "rows"
    done = {"first_estimate": 3, "second_estimate": 0}[function]
    with monkeypatch.context() as patch:
        estimate = getattr(automatic, function)
        patch.setattr(automatic, function, cut_after(done, estimate))
        with pytest.raises(PowerCut):
            evidence(bimodal_vae(), ROWS, checkpoint=path, **HOW)
    left = 5 - done if function == "first_estimate" else 0
    first = automatic.first_estimate
    monkeypatch.setattr(automatic, "first_estimate", cut_after(left, first))
    evidence(bimodal_vae(), ROWS, checkpoint=path, **HOW)


def test_columns_given_others_have_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = X.copy()
    rows[::3, 1] = np.nan
    vae = small(missing="at_random")
    how = {"columns": [0], "given": [1, 2], "num_particles": 30}
    whole = evidence(vae, rows, checkpoint=tmp_path / "rows", **how)
    monkeypatch.setattr(automatic, "first_estimate", refuse)
    same(evidence(vae, rows, checkpoint=tmp_path / "rows", **how), whole)


def test_another_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(
        ValueError, match=r"table\.csv: holds no evaluation: .*choose an"
    ):
        evidence(small(), X, num_particles=30, checkpoint=path)
    assert path.read_text() == "a,b\n1,2\n"
    fit(small(), X, epochs=1, checkpoint=tmp_path / "run", progress=False)
    with pytest.raises(
        ValueError, match=r"run: holds no evaluation, but something els"
    ):
        evidence(small(), X, num_particles=30, checkpoint=tmp_path / "run")


def test_a_full_disk_costs_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.warns(
        UserWarning, match="^evidence: the checkpoint can't be written, a"
    ):
        found = evidence(
            small(), X, num_particles=30, checkpoint=tmp_path / "file" / "rows"
        )
    assert found.num_rows == len(X)
