"""Draws for ArviZ: their groups, their distribution, and that ArviZ takes them."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import arviz as az
import matplotlib
import numpy as np
import pandas as pd
import pyro.distributions as dist
import pytest
import torch
from scipy.special import logsumexp
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from pyro_vae import VAE, __version__
from pyro_vae.analysis import to_arviz
from pyro_vae.analysis.bridge.netcdf import write_netcdf
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from tests.likelihoods import families

OLD = az.__version__.startswith("0.")
TRUTH = LinearGaussian.random(data_dim=5, latent_dim=2)
SIGMAS = 5  # a mean of draws may miss its exact value by this many standard errors
ROWS = 6
DRAWS = 4000
WIDEN = 1.3
DRAWN = ("chain", "draw", "observation")
BY_ROW = ("elbo", "rate", "log_marginal", "se", "pareto_k", "ess")


@pytest.fixture(scope="module")
def x() -> Tensor:
    return TRUTH.sample(ROWS, seed=1)


@pytest.fixture(scope="module")
def tree(x: Tensor) -> Any:
    return to_arviz(TRUTH.vae(widen=WIDEN), x, num_samples=DRAWS)


@pytest.fixture
def pyplot() -> Iterator[Any]:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def autoencoder() -> VAE:
    return VAE(
        data_shape=(5,), latent_dim=2, prior="flat", guide="delta", hidden_dims=(4,)
    ).double()


def groups(tree: Any) -> set[str]:
    return (
        set(tree.groups()) if OLD else {name.strip("/") for name in tree.groups} - {""}
    )


# What is in it


def test_groups_and_dimensions(tree: Any) -> None:
    dims = {
        ("posterior", "z"): (*DRAWN, "latent"),
        ("prior", "z"): (*DRAWN, "latent"),
        ("posterior_predictive", "x"): (*DRAWN, "feature"),
        ("prior_predictive", "x"): (*DRAWN, "feature"),
        ("observed_data", "x"): ("observation", "feature"),
        ("sample_stats", "log_p"): DRAWN,
        ("sample_stats", "log_q"): DRAWN,
        ("sample_stats", "log_weight"): DRAWN,
        ("resampled", "z"): (*DRAWN, "latent"),
        ("resampled", "pareto_k"): ("observation",),
        ("resampled", "ess"): ("observation",),
        ("variational", "loc"): ("observation", "latent"),
        ("variational", "scale"): ("observation", "latent"),
        **{("variational", name): ("observation",) for name in BY_ROW},
    }
    sizes = {"chain": 1, "draw": DRAWS, "observation": ROWS, "latent": 2, "feature": 5}
    assert groups(tree) == {group for group, _ in dims}
    for (group, name), expected in dims.items():
        assert tree[group][name].dims == expected
        assert tree[group][name].shape == tuple(sizes[dim] for dim in expected)
    assert {name for group, name in dims if group == "sample_stats"} == set(
        tree["sample_stats"].data_vars
    )


def test_attributes_say_where_it_is_from(tree: Any) -> None:
    assert tree.attrs["inference_library"] == "pyro_vae"
    assert tree.attrs["inference_library_version"] == __version__
    assert '"latent_dim":2' in tree.attrs["spec"]


def test_observed_data_are_the_rows(tree: Any, x: Tensor) -> None:
    np.testing.assert_array_equal(tree["observed_data"]["x"].values, x)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bernoulli", "i"),
        ("binomial", "i"),
        ("poisson", "i"),
        ("multinomial", "i"),
        ("categorical", "i"),
        ("ordinal", "i"),
        ("discretized_logistic", "i"),
        ("normal", "f"),
        ("gamma", "f"),
    ],
)
def test_counts_are_integers(name: str, kind: str) -> None:
    """The same numbers, in the type that says what they are."""
    rows = families.CASES[name].rows[:3]
    tree = to_arviz(families.vae(name), rows, num_samples=4)
    for group in ("posterior_predictive", "prior_predictive", "observed_data"):
        assert tree[group]["x"].dtype.kind == kind
    np.testing.assert_array_equal(tree["observed_data"]["x"].values, rows)
    assert {
        tree["posterior"]["z"].dtype.kind,
        tree["sample_stats"]["log_p"].dtype.kind,
    } == {"f"}


DATA = ("posterior_predictive", "prior_predictive", "observed_data")


def test_columns_of_several_types_are_variables_of_their_own() -> None:
    """In "mixed" columns 0, 3 and 4 are real, 1, 2 and 5 are whole, and 6 is a size factor."""
    rows = families.CASES["mixed"].rows[:3]
    tree = to_arviz(families.vae("mixed"), rows, num_samples=4)
    kinds = dict(zip([f"x[{i}]" for i in range(6)], "fiiffi", strict=True))
    for group in DATA:
        found = tree[group]
        dims = ("observation",) if group == "observed_data" else DRAWN
        assert {name: found[name].dtype.kind for name in found.data_vars} == kinds
        assert {found[name].dims for name in found.data_vars} == {dims}
    for i in range(6):
        observed = tree["observed_data"][f"x[{i}]"].values
        np.testing.assert_array_equal(observed, rows[:, i])
    assert set(tree["constant_data"].data_vars) == {"x[6]"}
    np.testing.assert_array_equal(tree["constant_data"]["x[6]"].values, rows[:, 6])


def test_groups_of_one_type_are_one_variable() -> None:
    columns = [
        {"columns": "0:2", "kind": "ordinal", "num_classes": 3},
        {"columns": 2, "kind": "poisson"},
    ]
    vae = VAE(data_shape=(3,), likelihood={"kind": "mixed", "columns": columns})
    tree = to_arviz(vae, torch.tensor([[0.0, 2.0, 7.0]]), num_samples=4)
    for group in DATA:
        assert tree[group]["x"].dtype.kind == "i"
        assert tree[group]["x"].dims[-1] == "feature"


@pytest.mark.parametrize("names", [None, ["a", "b", "c", "size"]])
def test_a_size_factor_is_constant_data(names: list[str] | None) -> None:
    """Counts stay counts with a real number beside them, on which the model conditions."""
    rows = families.CASES["poisson, sized"].rows[:3]
    tree = to_arviz(families.vae("poisson, sized"), rows, num_samples=4, columns=names)
    for group in DATA:
        assert tree[group]["x"].dtype.kind == "i"
        features = tree[group]["x"]["feature"].values.tolist()
        assert features == ([0, 1, 2] if names is None else ["a", "b", "c"])
    np.testing.assert_array_equal(tree["observed_data"]["x"].values, rows[:, :3])
    size = tree["constant_data"]["x[3]" if names is None else "size"]
    np.testing.assert_array_equal(size.values, rows[:, 3])


def graded() -> tuple[VAE, pd.DataFrame]:
    """Grades, counts and lengths; two of the names can't be those of variables."""
    groups = [
        {"columns": 0, "kind": "ordinal", "num_classes": 5},
        {"columns": [2, 1], "kind": "normal"},
        {"columns": 3, "kind": "poisson"},
    ]
    vae = VAE(data_shape=(4,), likelihood={"kind": "mixed", "columns": groups})
    rows = pd.DataFrame(
        {
            "grade": [0, 4, 2],
            "km/h": [50.5, 30.0, 80.2],
            "height": [1.5, 1.7, 1.6],
            "draw": [3, 0, 9],
        },
        index=pd.Index(["ann", "bob", "eve"]),
    )
    return vae, rows


def test_a_data_frame_keeps_its_names(tmp_path: Path) -> None:
    vae, rows = graded()
    write_netcdf(to_arviz(vae, rows, num_samples=4), tmp_path / "draws.nc")
    tree = az.from_netcdf(str(tmp_path / "draws.nc"))
    kinds = {"grade": "i", "x[1]": "f", "height": "f", "x[3]": "i"}
    for group in DATA:
        found = tree[group]
        assert {name: found[name].dtype.kind for name in found.data_vars} == kinds
        assert found["observation"].values.tolist() == ["ann", "bob", "eve"]
    assert tree["posterior"]["observation"].values.tolist() == ["ann", "bob", "eve"]
    bob = tree["observed_data"].sel(observation="bob")
    assert (int(bob["grade"]), int(bob["x[3]"])) == (4, 0)
    tree.close()


@pytest.mark.parametrize("name", ["km/h", "observation", "draw", " "])
def test_a_context_whose_name_no_variable_can_have_is_numbered(
    name: str, tmp_path: Path
) -> None:
    rows = pd.DataFrame({"a": [0.5, 1.5, 2.5], name: [7.0, 9.0, 8.0], "b": [1.0] * 3})
    rows["b"] += rows["a"] ** 2
    context = {"columns": ["a", name]}
    vae = VAE.from_data(rows, latent_dim=1, hidden_dims=(4,), context=context)
    write_netcdf(to_arviz(vae, rows, num_samples=2), tmp_path / "draws.nc")
    tree = az.from_netcdf(str(tmp_path / "draws.nc"))
    constant = tree["constant_data"]
    assert set(constant.data_vars) == {"a", "c[1]"}
    assert constant["c[1]"].values.tolist() == [7.0, 9.0, 8.0]
    tree.close()


def test_labels_of_rows_may_be_given() -> None:
    vae, rows = graded()
    x = rows.to_numpy(dtype=float)
    names = ["a", "b", "c", "d"]
    tree = to_arviz(vae, x, num_samples=4, rows=[7, 8, 9], columns=names)
    assert tree["posterior"]["observation"].values.tolist() == [7, 8, 9]
    assert set(tree["observed_data"].data_vars) == set(names)
    with pytest.raises(ValueError, match=r"rows: expected 3 labels, .* got 2"):
        to_arviz(vae, x, num_samples=4, rows=["a", "b"])
    with pytest.raises(ValueError, match="columns: expected 4 different names, got 2"):
        to_arviz(vae, x, num_samples=4, columns=["a", "b"])


def test_names_of_a_data_frame_that_clash_are_left_out() -> None:
    vae, rows = graded()
    rows.columns = ["a", "a", "b", "c"]
    tree = to_arviz(vae, rows, num_samples=4)
    assert set(tree["observed_data"].data_vars) == {f"x[{i}]" for i in range(4)}


@pytest.mark.skipif(not OLD, reason="ArviZ 0.x")
def test_arviz_draws_grades_as_steps_and_lengths_as_curves(pyplot: Any) -> None:
    vae, rows = graded()
    tree = to_arviz(vae, rows, num_samples=50)
    styles = {}
    for name in ("grade", "height"):
        axes = np.atleast_1d(az.plot_ppc(tree, var_names=[name], num_pp_samples=5))
        styles[name] = {line.get_drawstyle() for line in axes[0].lines}
    assert styles == {"grade": {"default", "steps-pre"}, "height": {"default"}}


def test_codes_are_from_the_guide(tree: Any, x: Tensor) -> None:
    z = tree["posterior"]["z"].values[0]
    q = TRUTH.posterior(x, WIDEN)
    sd = q.stddev.numpy()
    assert (np.abs(z.mean(0) - q.mean.numpy()) < SIGMAS * sd / math.sqrt(DRAWS)).all()
    assert (np.abs(z.std(0) / sd - 1) < SIGMAS / math.sqrt(2 * DRAWS)).all()
    for row, covariance in enumerate(q.covariance_matrix.numpy()):
        error = SIGMAS * sd[row].prod() * math.sqrt(2 / DRAWS)
        assert abs(np.cov(z[:, row].T)[0, 1] - covariance[0, 1]) < error


def test_prior_draws_are_from_the_model(tree: Any) -> None:
    z = tree["prior"]["z"].values.reshape(-1, 2)
    x = tree["prior_predictive"]["x"].values
    p = TRUTH.marginal()
    n = len(z)
    assert len(np.unique(z)) == z.size  # each row has draws of its own
    assert (np.abs(z.mean(0)) < SIGMAS / math.sqrt(n)).all()
    assert (np.abs(z.std(0) - 1) < SIGMAS / math.sqrt(2 * n)).all()
    sd = p.stddev.numpy()
    assert (
        np.abs(x.mean((0, 1, 2)) - p.mean.numpy()) < SIGMAS * sd / math.sqrt(n)
    ).all()
    assert (np.abs(x.std((0, 1, 2)) / sd - 1) < SIGMAS / math.sqrt(2 * n)).all()


def test_predictive_draws_are_decoded_from_the_codes_beside_them(tree: Any) -> None:
    for codes, data in (
        ("posterior", "posterior_predictive"),
        ("prior", "prior_predictive"),
    ):
        loc = tree[codes]["z"].values @ TRUTH.weight.numpy().T + TRUTH.bias.numpy()
        noise = (tree[data]["x"].values - loc) / TRUTH.sigma
        assert abs(noise.mean()) < SIGMAS / math.sqrt(noise.size)
        assert abs(noise.std() - 1) < SIGMAS / math.sqrt(2 * noise.size)


def test_weights_are_those_of_the_draws_and_give_the_evidence(
    tree: Any, x: Tensor
) -> None:
    stats = tree["sample_stats"]
    z = torch.from_numpy(tree["posterior"]["z"].values[0])
    vae = TRUTH.vae()
    with torch.no_grad():
        log_p = vae.prior().log_prob(z) + vae.likelihood(z).log_prob(x)
    np.testing.assert_allclose(stats["log_p"].values[0], log_p, rtol=1e-12)
    np.testing.assert_allclose(
        stats["log_q"].values[0], TRUTH.posterior(x, WIDEN).log_prob(z), rtol=1e-12
    )
    np.testing.assert_array_equal(
        stats["log_weight"], stats["log_p"].values - stats["log_q"].values
    )
    weights = stats["log_weight"].values[0]
    found = logsumexp(weights, 0) - math.log(DRAWS)
    se = np.exp(weights - found).std(0) / math.sqrt(DRAWS)
    assert (np.abs(found - TRUTH.marginal().log_prob(x).numpy()) < 4 * se).all()


def test_weights_are_differences_of_what_was_rounded() -> None:
    """The difference is taken in float64: in float32 a log density of -1e4 has steps of 1e-3."""
    stats = to_arviz(
        VAE(data_shape=(64,), latent_dim=2), 100 * torch.ones(2, 64), num_samples=50
    )["sample_stats"]
    assert stats["log_p"].dtype == stats["log_q"].dtype == np.float32
    expected = stats["log_p"].values.astype(float) - stats["log_q"].values.astype(float)
    np.testing.assert_array_equal(stats["log_weight"].values, expected)


def test_an_autoencoder_has_codes_only() -> None:
    vae = autoencoder()
    x = TRUTH.sample(4)
    tree = to_arviz(vae, x, num_samples=20)
    assert groups(tree) == {"posterior", "posterior_predictive", "observed_data"}
    with torch.no_grad():
        code = vae.posterior(x).sample().numpy()
    np.testing.assert_array_equal(
        tree["posterior"]["z"].values[0], np.broadcast_to(code, (20, 4, 2))
    )


def test_a_plain_distribution_is_a_guide() -> None:
    q = dist.Normal(torch.tensor([3.0, -3.0], dtype=torch.float64), 0.1).to_event(1)
    z = to_arviz(TRUTH.vae(guide=q), TRUTH.sample(4), num_samples=100)["posterior"][
        "z"
    ].values[0]
    assert (np.abs(z - [3, -3]) < 0.6).all()
    assert len(np.unique(z[..., 0])) == 400  # each row has draws of its own


@pytest.mark.parametrize("data_shape", [(2, 3), (1, 4, 4)])
def test_rows_of_any_shape(data_shape: tuple[int, ...]) -> None:
    vae = VAE(data_shape=data_shape, latent_dim=2, likelihood="bernoulli")
    tree = to_arviz(vae, torch.ones(3, *data_shape), num_samples=10)
    features = tuple(f"feature_{i}" for i in range(len(data_shape)))
    assert tree["posterior_predictive"]["x"].dims == (*DRAWN, *features)
    assert set(np.unique(tree["prior_predictive"]["x"])) == {0, 1}


def test_columns_name_the_features(x: Tensor) -> None:
    names = ["length", "width", "height", "mass", "age"]
    tree = to_arviz(TRUTH.vae(), x, num_samples=10, columns=names)
    assert tree["prior_predictive"]["x"]["feature"].values.tolist() == names
    with pytest.raises(ValueError, match="columns: expected 5 different names, got 2"):
        to_arviz(TRUTH.vae(), x, num_samples=10, columns=names[:2])


# Seeds


def test_draws_follow_their_seed_and_leave_the_generator_alone(x: Tensor) -> None:
    vae = TRUTH.vae().train()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, again, other = (
        to_arviz(vae, x, num_samples=10, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert all(module.training for module in vae.modules())
    for group, name in (
        ("posterior", "z"),
        ("prior", "z"),
        ("posterior_predictive", "x"),
        ("prior_predictive", "x"),
    ):
        np.testing.assert_array_equal(first[group][name], again[group][name])
        assert (first[group][name].values != other[group][name].values).all()


# Rows of any origin


class Plain(Dataset[Tensor]):
    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Tensor:
        return self.x[index]


FORMS: dict[str, Callable[[Tensor], Any]] = {
    "uint8": lambda x: x.numpy().astype(np.uint8),
    "list": lambda x: x.tolist(),
    "dataset": Plain,
    "tensor_dataset": lambda x: TensorDataset(x, torch.zeros(len(x))),
    "loader": lambda x: DataLoader(TensorDataset(x), batch_size=4),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_any_origin(form: str) -> None:
    x = TRUTH.sample(7).round().abs()
    expected = to_arviz(TRUTH.vae(), x, num_samples=10)
    found = to_arviz(TRUTH.vae(), FORMS[form](x), num_samples=10)
    assert found["observed_data"]["x"].dtype == np.float64
    np.testing.assert_array_equal(found["observed_data"]["x"], x)
    np.testing.assert_allclose(
        found["posterior"]["z"], expected["posterior"]["z"], rtol=1e-12
    )


# ArviZ takes it


def test_summary(tree: Any, x: Tensor) -> None:
    table = az.summary(tree, var_names=["z"], kind="stats", round_to="none")
    expected = tree["posterior"]["z"].values[0]
    np.testing.assert_allclose(
        table["mean"].astype(float), expected.mean(0).ravel(), rtol=1e-9
    )
    np.testing.assert_allclose(
        table["sd"].astype(float), expected.std(0, ddof=1).ravel(), rtol=1e-3
    )


def test_posterior_plot(tree: Any, pyplot: Any) -> None:
    draw = az.plot_posterior if OLD else az.plot_dist
    draw(tree, var_names=["z"], coords={"observation": [0, 1]})
    assert len(pyplot.gcf().axes) == 4


@pytest.mark.parametrize("group", ["posterior", "prior"])
def test_predictive_plot(group: str, tree: Any, pyplot: Any) -> None:
    if OLD:
        az.plot_ppc(tree, group=group, num_pp_samples=10)
    else:
        az.plot_ppc_dist(tree, group=f"{group}_predictive", num_samples=10)
    assert pyplot.gcf().axes[0].lines


def test_predictive_plot_of_counts(pyplot: Any) -> None:
    vae = VAE(
        data_shape=(16,),
        latent_dim=2,
        likelihood={"kind": "binomial", "total_count": 16},
    )
    tree = to_arviz(
        vae, np.arange(48, dtype=np.uint8).reshape(3, 16) % 17, num_samples=20
    )
    if OLD:
        az.plot_ppc(tree, num_pp_samples=10)
    else:
        az.plot_ppc_dist(tree, num_samples=10)
    assert pyplot.gcf().axes


# What is refused


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (
            torch.zeros(3, 5),
            {"num_samples": 0},
            "num_samples: expected at least 1, got 0",
        ),
        (torch.zeros(0, 5), {}, "x: expected at least one row"),
        (torch.zeros(3, 4), {}, r"x: expected rows of shape \(5,\), got \(4,\)"),
        (
            torch.full((3, 5), torch.nan),
            {},
            "x: expected finite numbers, got nan in row 0, column 0",
        ),
        (
            torch.zeros(3, 4),
            {"num_samples": 10**12},
            r"x: expected rows of shape \(5,\), got \(4,\)",
        ),
    ],
)
def test_bad_input_is_refused(x: Tensor, options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_arviz(TRUTH.vae(), x, **options)


@pytest.mark.parametrize("form", ["dataset", "list", "loader"])
def test_too_much_memory_is_refused_before_any_draw(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 bytes for 1000 rows, 10 million draws and 3 * 2 + 2 * 5 numbers are 1192.1 GiB."""
    monkeypatch.setattr(VAE, "posterior", None)
    message = (
        r"10000000 draws for 1000 rows would take 1192\.1 GiB, and max_bytes is 1\.0 GiB; "
        r"pass fewer rows \(x\[:50\]\), a smaller num_samples, or max_bytes=1280000000000$"
    )
    with pytest.raises(ValueError, match=message):
        to_arviz(TRUTH.vae(), FORMS[form](torch.zeros(1000, 5)), num_samples=10**7)


def test_max_bytes_is_the_limit(x: Tensor) -> None:
    needed = 8 * 6 * 10 * (3 * 2 + 2 * 5)
    to_arviz(TRUTH.vae(), x, num_samples=10, max_bytes=needed)
    with pytest.raises(ValueError, match=f"max_bytes={needed}$"):
        to_arviz(TRUTH.vae(), x, num_samples=10, max_bytes=needed - 1)
