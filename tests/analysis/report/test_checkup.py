"""Check-ups: what is right passes, what is weak warns, and each contradiction is found."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pyro_vae import VAE
from pyro_vae.analysis import Checkup, checkup, installation
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from pyro_vae.analysis.results.verdicts import BASELINE, LATENT, TRUSTED
from tests.analysis.miscounting import Miscounting
from tests.guides.families import CASES as GUIDES
from tests.guides.families import X as GUIDE_ROWS
from tests.guides.families import small

TRUTH = LinearGaussian.random(data_dim=5, latent_dim=2, seed=1)
X = TRUTH.sample(40, seed=2)


def verdicts(found: Checkup) -> dict[str, str]:
    return {finding.name: finding.verdict for finding in found.findings}


class Detached(nn.Module):
    """A decoder that reports no gradient for half of what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(2, 5)
        self.other = nn.Linear(2, 5)

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.one(z) + self.other(z).detach()
        return out


class Neighbours(nn.Module):
    """An encoder that looks at the other rows of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 8)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x - x.mean(0))
        return out


def test_the_exact_posterior_passes() -> None:
    found = checkup(TRUTH.vae(widen=1.1), X, num_particles=500)
    weak = {
        name for name, verdict in verdicts(found).items() if verdict in {"warn", "fail"}
    }
    assert weak <= {"calibration of the guide"}
    assert "fail" not in verdicts(found).values()


def test_a_narrow_guide_warns() -> None:
    found = checkup(TRUTH.vae(widen=0.5), X, num_particles=500)
    assert verdicts(found)["calibration of the guide"] == "warn"
    assert (
        verdicts(found)["gap of the guide"] == "warn"
    )  # 2 (log 2 - ½ + ⅛) = 0.636 nats
    assert (
        abs(found["gap of the guide"].number - 0.636)
        < 5 * found["gap of the guide"].error
    )
    assert found.worst == "warn"
    assert "p < 1e-6" in str(found)
    assert "warn: the numbers agree with each other" in str(found)


def test_the_number_of_the_sentences_is_log_p() -> None:
    found = checkup(TRUTH.vae(), X, num_particles=500)
    exact = TRUTH.marginal().log_prob(X)
    assert found.log_marginal == pytest.approx(float(exact.mean()), abs=1e-6)
    assert found.log_marginal_se == pytest.approx(
        float(exact.std() / len(X) ** 0.5), abs=1e-6
    )
    assert (
        f"{exact.mean():.3f} ± {exact.std() / len(X) ** 0.5:.3f} nats per row can be trusted"
        in str(found)
    )
    assert found[TRUSTED].number == 100
    assert len(found.sentences) == 3


@pytest.mark.slow
def test_nuts_agrees_with_the_exact_posterior() -> None:
    found = checkup(TRUTH.vae(), X[:3], num_particles=500, audit_rows=1)
    assert found["audit by NUTS"].verdict == "pass"
    assert found["audit by NUTS"].number == 1


def test_more_rows_for_nuts_than_there_are() -> None:
    with pytest.raises(
        ValueError, match="audit_rows: expected 0 to the number of rows, 40, got 41"
    ):
        checkup(TRUTH.vae(), X, audit_rows=41)


@pytest.mark.parametrize("guide", GUIDES)
@pytest.mark.slow
def test_no_guide_contradicts_itself(guide: str) -> None:
    found = checkup(small(guide), GUIDE_ROWS, num_particles=100)
    assert [
        name for name, verdict in verdicts(found).items() if verdict == "fail"
    ] == []


def test_dead_units_warn() -> None:
    vae = TRUTH.vae("mean_field")
    with torch.no_grad():
        vae.posterior.family.head.weight.zero_()
        vae.posterior.family.head.bias.zero_()
    found = checkup(vae, X, num_particles=100)
    assert verdicts(found)[LATENT] == "warn"
    assert "posterior collapse" in str(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "parts"),
    [
        (
            "gradient of the loss",
            {"decoder": Detached(), "likelihood": {"kind": "normal", "scale": 1.0}},
        ),
        ("rows together and alone", {"encoder": Neighbours()}),
        ("ELBO, Monte Carlo - analytic", {"guide": Miscounting(5, 2)}),
    ],
)
def test_contradictions_fail(broken: str, parts: dict[str, Any]) -> None:
    found = checkup(
        VAE(data_shape=(5,), latent_dim=2, **parts), X.float(), num_particles=100
    )
    assert verdicts(found)[broken] == "fail"
    assert found.worst == "fail"


def test_an_autoencoder_has_no_evidence_to_check() -> None:
    found = checkup(
        VAE(data_shape=(5,), latent_dim=2, guide="delta", prior="flat"), X.float()
    )
    assert verdicts(found) == {
        "gradient of the loss": "pass",
        TRUSTED: "none",
        BASELINE: "none",
    }
    assert found.worst == "pass"
    assert "There is no log p(x) to trust: the model is an autoencoder" in str(found)


def test_the_model_is_left_as_it_was() -> None:
    vae = TRUTH.vae("mean_field").train()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    state = torch.get_rng_state()
    first, second = (str(checkup(vae, X, num_particles=50)) for _ in range(2))
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)
    assert vae.training
    assert all(
        torch.equal(value, before[name]) for name, value in vae.state_dict().items()
    )


@pytest.mark.slow
def test_the_installation_passes() -> None:
    assert installation(seed=1).worst == "pass"
