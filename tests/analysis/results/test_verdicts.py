"""Verdicts: numbers, thresholds and sources, three sentences, and remedies that work."""

import copy
import shlex
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

import pyro_vae as pv
from pyro_vae import VAE
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.analysis.posterior_checks.moments import Difference, Moments
from pyro_vae.analysis.posterior_checks.nuts_results import Audit
from pyro_vae.analysis.report import agreement, checks, gradients
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from pyro_vae.analysis.report.results import Checkup
from pyro_vae.analysis.results.verdicts import BASELINE, LATENT, TRUSTED, Finding
from pyro_vae.cli.main import parser
from tests.analysis.miscounting import Miscounting

TRUTH = LinearGaussian.random(data_dim=5, latent_dim=2, seed=1)
X = TRUTH.sample(40, seed=2)
SMALL: dict[str, Any] = {"data_shape": (5,), "latent_dim": 3, "hidden_dims": (8,)}


def finding(name: str, verdict: Any, **fields: Any) -> Finding:
    return Finding(
        name=name, verdict=verdict, **{"meaning": f"{name} is {verdict}", **fields}
    )


FINE = Checkup(
    (
        finding("bound", "pass"),
        finding(TRUSTED, "pass", meaning="it is trusted on 40 of 40 rows"),
        finding(BASELINE, "pass", number=3.25, error=0.5),
        finding(LATENT, "pass", number=2),
    ),
    -12.345,
    0.25,
)


def changed(name: str, **fields: Any) -> Checkup:
    findings = (
        replace(one, **fields) if one.name == name else one for one in FINE.findings
    )
    return replace(FINE, findings=tuple(findings))


# The limit of k-hat


def test_the_limit_of_k_hat() -> None:
    """Vehtari et al. 2024, section 3.2.4: 0.5 for 100 draws, 2/3 for 1000, and never above 0.7."""
    assert khat_limit(100) == pytest.approx(0.5)
    assert khat_limit(1000) == pytest.approx(2 / 3)
    assert khat_limit(2200) == pytest.approx(0.7, abs=1e-3)
    assert khat_limit(10**6) == 0.7
    assert khat_limit(1) == -np.inf


# Sentences


def test_a_good_model_in_three_sentences() -> None:
    trust, gain, after = FINE.sentences
    assert trust.startswith(
        "log p(x) = -12.345 ± 0.250 nats per row can be trusted: it is trusted on 40 of 40 rows"
    )
    assert gain == (
        "The model is better than a model of independent columns by 3.250 ± 0.500 nats per row: "
        "it makes a row 26 times more probable."
    )
    assert after == "Nothing has to be done next: all 4 checks have passed."
    assert str(FINE).splitlines()[-3:] == list(FINE.sentences)


def test_sentences_follow_the_findings() -> None:
    few = changed(
        TRUSTED,
        verdict="warn",
        meaning="it is trusted on 4 of 40 rows only",
        remedy="anneal",
        command="c",
    )
    assert (
        "is only a lower estimate: it is trusted on 4 of 40 rows only"
        in few.sentences[0]
    )
    assert few.sentences[2] == f"Next, because of '{TRUSTED}': anneal, with `c`."
    unknown = changed(
        TRUSTED,
        verdict="none",
        meaning="10 draws of a row are too few to tell",
        remedy="draw more",
    )
    assert "is not known: 10 draws" in unknown.sentences[0]
    assert unknown.sentences[2] == f"Next, because of '{TRUSTED}': draw more."
    broken = changed("bound", verdict="fail", remedy="mend it", python="mend()")
    assert (
        "can't be trusted: numbers that must agree do not (bound)"
        in broken.sentences[0]
    )
    assert broken.sentences[2] == "Next, because of 'bound': mend it, with `mend()`."
    assert broken.worst == "fail"


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [
        (
            -30.0,
            0.5,
            "worse than a model of independent columns by 30.000 ± 0.500 nats per row: it makes a "
            "row 10^13 times less probable",
        ),
        (
            0.4,
            0.5,
            "no better than a model of independent columns: log p(x) differs by 0.400",
        ),
    ],
)
def test_a_model_that_is_no_better_than_none(
    number: float, error: float, words: str
) -> None:
    assert (
        words
        in changed(BASELINE, verdict="warn", number=number, error=error).sentences[1]
    )


def test_a_model_without_a_baseline() -> None:
    unknown = {"number": np.nan, "error": np.nan, "meaning": "there is none"}
    sentence = changed(BASELINE, verdict="none", **unknown).sentences[1]
    assert sentence == (
        "Whether the model is better than a model of independent columns is not known: there is "
        "none."
    )


def test_what_comes_first() -> None:
    """A contradiction, a model worse than none, a collapsed one, an untrusted number, the rest."""
    names = ["rest", TRUSTED, LATENT, BASELINE, "contradiction"]
    verdicts = {name: "fail" if name == "contradiction" else "warn" for name in names}
    findings = [
        finding(name, verdicts[name], remedy=f"mend {name}", number=0.0)
        for name in names
    ]
    while findings:
        found = Checkup(
            (*findings, finding(TRUSTED, "none"), finding(BASELINE, "none")), -1.0, 0.1
        )
        assert f"mend {findings[-1].name}" in found.sentences[2]
        findings.pop()


def test_the_folder_of_a_run_is_put_into_commands() -> None:
    one = finding("a", "warn", command="pyro-vae fit RUN --output RUN-b").for_run(
        "my runs/x/"
    )
    assert shlex.split(one.command) == [
        "pyro-vae",
        "fit",
        "my runs/x",
        "--output",
        "my runs/x-b",
    ]
    assert finding("a", "pass").for_run("x").command == ""
    assert one.for_run("x", refits=False).command == ""
    asks = finding("a", "warn", command="pyro-vae evaluate RUN").for_run(
        "x", ["--data", "my rows.csv"], refits=False
    )
    assert shlex.split(asks.command) == [
        "pyro-vae",
        "evaluate",
        "x",
        "--data",
        "my rows.csv",
    ]


def test_a_finding_shows_number_threshold_source_and_remedy() -> None:
    one = finding(
        "a",
        "warn",
        number=0.8,
        unit="nats",
        threshold=0.7,
        source="Someone 2020",
        remedy="r",
        python="p()",
    )
    lines = str(one).splitlines()
    assert "0.8 nats" in lines[0]
    assert "at most 0.7 (Someone 2020)" in lines[0]
    assert [line.strip() for line in lines[1:]] == ["a is warn", "-> r", "p()"]
    with pytest.raises(KeyError, match="no finding 'b'; there are"):
        FINE["b"]


# The answer as a table


def test_there_is_a_line_for_each_finding() -> None:
    table = FINE.to_dataframe()
    assert table.index.name == "finding"
    assert table.index.tolist() == [one.name for one in FINE.findings]
    assert table.loc[BASELINE, "number"] == 3.25
    assert table.loc[BASELINE, "error"] == 0.5
    assert "name" not in table
    assert repr(FINE) == "Checkup(4 pass)"


def test_a_notebook_shows_verdict_number_and_remedy() -> None:
    shown = changed(
        TRUSTED, verdict="warn", remedy="anneal", command="c < d"
    )._repr_html_()
    assert shown.count("<tr>") == 1 + len(FINE.findings)
    assert "<td>warn</td>" in shown
    assert "<td>3.250 ± 0.500</td>" in shown
    assert "<td>anneal: c &lt; d</td>" in shown
    assert "Next, because of" in shown


# Remedies


class Detached(nn.Module):
    """A decoder that reports no gradient for half of what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(3, 5)
        self.other = nn.Linear(3, 5)

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.one(z) + self.other(z).detach()
        return out


class Counts(nn.Module):
    """torch's Poisson, whose lgamma of large counts is off in float32."""

    def __init__(self, columns: int, rate: float) -> None:
        super().__init__()
        self.layer = nn.Linear(3, columns)
        self.rate = rate

    def forward(self, z: Tensor) -> Any:
        return dist.Poisson(self.rate * (0.001 * self.layer(z)).exp()).to_event(1)


def unrepaired(name: str) -> tuple[VAE, Tensor, Finding]:
    """A model, its rows, and what is wrong with it."""
    x = X.float()
    vae = VAE(**SMALL)
    one = np.ones((1, 2))
    none = np.zeros((1, 2))
    moments = Moments(one, none, one, none)
    wide = Moments(one, none, 3 * one, none)
    if name == "gradient":
        vae = VAE(
            **SMALL, decoder=Detached(), likelihood={"kind": "normal", "scale": 1.0}
        )
        return vae, x, gradients.gradient(vae, x, 0)
    if name == "density":
        counts = torch.poisson(
            torch.full((20, 500), 1e5), generator=torch.Generator().manual_seed(0)
        )
        vae = VAE(data_shape=(500,), latent_dim=3, likelihood=Counts(500, 1e5))
        pv.fit(vae, counts, epochs=1, validation=None)
        return vae, counts, agreement.density(vae, counts, 0)
    if name == "closed form":
        vae = VAE(**SMALL, guide=Miscounting(5, 3))
        return vae, x, agreement.closed_form(vae, x, 0)
    if name == "bound":
        vae = VAE(**SMALL)
        found = pv.evidence(vae, x, num_particles=50, proposal="guide")
        return (
            vae,
            x,
            agreement.bound(
                vae, x, replace(found, log_marginal=found.log_marginal - 9), 0
            ),
        )
    if name == "the same":
        return (
            vae,
            x,
            agreement._same(
                "rows together and alone", np.zeros(2), np.ones(2), "", "the rows"
            ),
        )
    if name == "trusted":
        found = pv.evidence(vae, x, num_particles=100, proposal="guide")
        return (
            vae,
            x,
            checks.trusted(replace(found, pareto_k=np.linspace(0, 2, len(x)))),
        )
    if name == "unknown":
        return (
            vae,
            x,
            checks.trusted(pv.evidence(vae, x, num_particles=10, proposal="guide")),
        )
    if name == "baseline":
        baseline = dist.Normal(x.mean(0), x.std(0)).to_event(1)
        vae.likelihood.independent = lambda: baseline
        return (
            vae,
            x,
            checks.baseline(
                vae, x, pv.evidence(vae, x, num_particles=50, proposal="guide")
            ),
        )
    if name in {"collapse", "partial collapse"}:
        use = replace(
            pv.latent_use(vae, x),
            variance=np.array([0.0, 0.0, 1.0 if name != "collapse" else 0.0]),
        )
        return vae, x, use.finding()
    if name == "calibration":
        return vae, x, pv.calibration(vae, num_rows=300).finding()
    if name == "gaps":
        return (
            vae,
            x,
            replace(
                pv.inference_gaps(vae, x[:5], steps=4), amortization_gap=np.full(5, 3.0)
            ).finding("flow"),
        )
    found = Audit(
        z=np.zeros((4, 500, 1, 2)),
        r_hat=np.full((1, 2), 1.0 if name == "audit" else 1.1),
        ess=np.full((1, 2), 900.0),
        divergences=np.array([0]),
        pareto_k=np.array([0.9]),
        num_particles=2000,
        nuts=moments,
        guide=Difference.between(wide, moments),
        resampled=Difference.between(wide, moments),
        warmup_steps=500,
    )
    return vae, x, found.finding()


VERDICTS = {
    "gradient": "fail",
    "density": "fail",
    "closed form": "fail",
    "bound": "fail",
    "the same": "fail",
    "trusted": "warn",
    "unknown": "none",
    "baseline": "warn",
    "collapse": "warn",
    "partial collapse": "warn",
    "calibration": "warn",
    "gaps": "warn",
    "audit": "warn",
    "unmixed": "warn",
}


@pytest.fixture
def quick() -> SimpleNamespace:
    """The package, of which what takes long takes a few steps only."""

    def few(name: str, **steps: int) -> Any:
        return lambda *given, **options: getattr(pv, name)(
            *given, **{**options, **steps}
        )

    short = {
        "audit": few("audit", num_chains=2, num_samples=4, warmup_steps=4),
        "annealed": few("annealed", num_chains=2, temperatures=5),
        "fit": few("fit", epochs=2),
    }
    return SimpleNamespace(**{name: getattr(pv, name) for name in pv.__all__} | short)


@pytest.mark.slow
@pytest.mark.parametrize("name", VERDICTS)
def test_remedies_can_be_followed(name: str, quick: Any) -> None:
    vae, x, found = unrepaired(name)
    assert found.verdict == VERDICTS[name]
    assert found.remedy
    assert found.python
    assert name == "unknown" or not np.isnan([found.number, found.threshold]).any()
    namespace = {"pv": quick, "vae": copy.deepcopy(vae), "x": x, "x_train": x}
    exec(found.python, namespace)
    if found.command:
        words = shlex.split(found.command)
        assert words[0] == "pyro-vae"
        assert parser().parse_args(words[1:])


def test_the_remedy_for_a_wrong_density_is_right() -> None:
    from scipy import stats

    vae, x, found = unrepaired("density")
    assert found.number > 0.1
    right = copy.deepcopy(vae).double()
    z = torch.zeros(len(x), 3, dtype=torch.float64)
    with torch.no_grad():
        p = right.likelihood(z)
        expected = stats.poisson.logpmf(x.numpy(), p.base_dist.rate.numpy()).sum(1)
        np.testing.assert_allclose(p.log_prob(x.double()).numpy(), expected, atol=1e-6)
    assert agreement.density(right, x.double(), 0).verdict == "none"


def test_the_remedy_for_a_wrong_gradient_names_the_parameter() -> None:
    vae, x, _ = unrepaired("gradient")
    named = set(gradients.gradient_errors(vae, x))
    assert {
        f"model.likelihood.decoder.other.{part}" for part in ("weight", "bias")
    } <= named
    assert not any("decoder.one" in name for name in named)
    assert any(
        "encoder" in name for name in named
    )  # its gradient comes through the part that is cut off


@pytest.mark.slow
def test_the_remedy_for_untrusted_rows_finds_log_p() -> None:
    vae = TRUTH.vae(widen=0.5)
    exact = TRUTH.marginal().log_prob(X).numpy()
    found = checks.trusted(pv.evidence(vae, X, proposal="guide"))
    assert found.verdict == "warn"
    rows = eval(found.python.removeprefix("pv.annealed(vae, x[").removesuffix("])"))
    estimate = eval(found.python, {"pv": pv, "vae": vae, "x": X})
    np.testing.assert_allclose(estimate.log_marginal, exact[rows], atol=0.1)


# The baseline


def test_the_gain_over_independent_columns_is_the_total_correlation() -> None:
    """E log p(x) / ∏ᵢ p(xᵢ) = ½ (Σᵢ log Cᵢᵢ - log |C|) for x ~ N(b, C)."""
    marginal = TRUTH.marginal()
    vae = TRUTH.vae()
    x = TRUTH.sample(1500, seed=5)
    spread = marginal.covariance_matrix.diagonal().sqrt()
    vae.likelihood.independent = lambda: dist.Normal(TRUTH.bias, spread).to_event(1)
    found = checks.baseline(
        vae, x, pv.evidence(vae, x, num_particles=25, proposal="guide")
    )
    expected = float(spread.log().sum() - 0.5 * marginal.covariance_matrix.logdet())
    assert found.verdict == "pass"
    assert abs(found.number - expected) < 4 * found.error < 0.4


def test_no_baseline_is_said() -> None:
    class Plain(nn.Module):
        def forward(self, z: Tensor) -> Any:
            return dist.Normal(
                z.sum(-1, keepdim=True).expand(*z.shape[:-1], 5), 1.0
            ).to_event(1)

    vae = VAE(**SMALL, likelihood=Plain())
    evidence = pv.evidence(vae, X.float(), num_particles=30)
    assert checks.baseline(vae, X.float(), evidence).verdict == "none"
    vae.likelihood.independent = lambda: (
        None
    )  # of a likelihood that has not seen its training rows
    found = checks.baseline(vae, X.float(), evidence)
    assert found.verdict == "none"
    assert "no baseline" in found.meaning
