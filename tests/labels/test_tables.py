"""A label that is a column of a table, with holes."""

import numpy as np
import pandas as pd
import pytest

import pyro_vae as pv


def a_table(n: int = 60) -> pd.DataFrame:
    """Two measures that are larger for tits, and a label that is known of some."""
    rng = np.random.default_rng(0)
    is_tit = rng.random(n) < 0.5
    labels = np.where(is_tit, "tit", "owl").astype(object)
    labels[10:] = None
    return pd.DataFrame(
        {
            "wing": rng.normal(4.0 * is_tit, 1.0),
            "species": labels,
            "site": rng.choice(["north", "south"], n),
            "tail": rng.normal(4.0 * is_tit, 1.0),
        },
        index=[f"bird {i}" for i in range(n)],
    )


@pytest.fixture(scope="module")
def fitted() -> pv.VAE:
    context = {"columns": ["site"], "label": "species"}
    vae = pv.VAE.from_data(a_table(), latent_dim=1, context=context, hidden_dims=(8,))
    pv.fit(vae, a_table(), epochs=200, lr=0.02, progress=False, validation=None)
    return vae


def test_the_label_is_no_column_of_x(fitted: pv.VAE) -> None:
    assert fitted.spec.data_shape == (2,)
    context = fitted.spec.context
    assert context is not None
    assert context.levels == (2, 2)
    assert context.table is not None
    assert context.table.names == ("site", "species")


def test_labels_are_found_by_name(fitted: pv.VAE) -> None:
    table = a_table()
    found = pv.classify(fitted, table)
    assert found.classes == ("owl", "tit")
    assert set(found.label) == {"owl", "tit"}
    assert (found.truth >= 0).sum() == 10
    assert found.accuracy == 1.0
    truth = np.where(table["wing"] + table["tail"] > 4.0, "tit", "owl")
    assert (found.label == truth).mean() > 0.9
    assert found.to_dataframe().index[0] == "bird 0"
    without = pv.classify(
        fitted, table.drop(columns="species")[["tail", "site", "wing"]]
    )
    np.testing.assert_array_equal(without.probabilities, found.probabilities)


def test_evidence_sums_over_missing_labels(fitted: pv.VAE) -> None:
    table = a_table(20)
    known = pv.evidence(fitted, table, num_particles=200, progress=False)
    each = [
        pv.evidence(
            fitted, table.assign(species=name), num_particles=200, progress=False
        ).log_marginal
        for name in ("owl", "tit")
    ]
    summed = np.logaddexp(*each)
    unknown = table["species"].isna().to_numpy()
    np.testing.assert_allclose(known.log_marginal[unknown], summed[unknown], atol=1e-5)
    of_known = np.where(table["species"] == "tit", each[1], each[0])
    np.testing.assert_allclose(
        known.log_marginal[~unknown], of_known[~unknown], atol=1e-5
    )


def test_models_with_a_label_are_saved(fitted: pv.VAE, tmp_path: object) -> None:
    pv.save(fitted, f"{tmp_path}/birds")
    loaded = pv.load(f"{tmp_path}/birds")
    np.testing.assert_array_equal(
        pv.classify(loaded, a_table()).probabilities,
        pv.classify(fitted, a_table()).probabilities,
    )


def test_samples_of_a_label(fitted: pv.VAE) -> None:
    tits = pv.sample(fitted, 400, context={"site": "north", "species": "tit"})
    owls = pv.sample(fitted, 400, context={"site": "north", "species": "owl"})
    either = pv.sample(fitted, 400, context={"site": "north"})
    assert tits["wing"].mean() > owls["wing"].mean() + 2.0
    assert owls["wing"].mean() < either["wing"].mean() < tits["wing"].mean()


def test_an_unknown_species_is_refused(fitted: pv.VAE) -> None:
    with pytest.raises(ValueError, match=r"species.*owl"):
        pv.classify(fitted, a_table().assign(species="jay"))


def test_an_unknown_name_in_a_dict_is_refused(fitted: pv.VAE) -> None:
    with pytest.raises(ValueError, match=r"^context: expected columns .*'speces'"):
        pv.sample(fitted, 3, context={"site": "north", "speces": "tit"})


def test_a_number_of_classes_beside_columns_is_refused() -> None:
    with pytest.raises(ValueError, match=r"label: expected the name of a column"):
        pv.VAE.from_data(a_table(), context={"columns": ["site"], "label": 2})


def test_the_label_may_be_all_of_the_context() -> None:
    vae = pv.VAE.from_data(a_table(), latent_dim=1, context={"label": "species"})
    assert vae.spec.data_shape == (3,)
    assert pv.classify(vae, a_table()).classes == ("owl", "tit")
    assert pv.VAE.from_spec(vae.spec).spec == vae.spec


@pytest.mark.parametrize("known", [None, "owl"])
def test_a_label_of_one_class_is_refused(known: str | None) -> None:
    table = a_table().assign(species=None)
    table.loc["bird 0", "species"] = known
    with pytest.raises(ValueError, match=r"label: expected .* at least two levels"):
        pv.VAE.from_data(table, context={"label": "species"})
