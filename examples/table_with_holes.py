"""A table with holes: log p of what is there, the missing cells with intervals, and a label.

    python examples/table_with_holes.py [--epochs 300]

A fifth of the cells of scikit-learn's wines (13 measurements and the cultivar) is hidden. One sees
log p of the observed cells of new wines, the errors of their imputed cells beside those of column
means, how many of the hidden cells are inside the 90 % intervals, and how often the cultivar is
predicted from the observed cells.
"""

import argparse

import numpy as np
from sklearn.datasets import load_wine

import pyro_vae as pv

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=300)
epochs = parser.parse_args().epochs

wine = load_wine(as_frame=True)
whole = wine.data.assign(cultivar=wine.target_names[wine.target])
whole = whole.sample(frac=1, random_state=0, ignore_index=True)
hidden = np.random.default_rng(0).random(whole.shape) < 0.2
holes = whole.mask(hidden)
train = holes[:120]
new = holes[120:]

vae = pv.VAE.from_data(train, latent_dim=3, hidden_dims=(32, 32))
run = pv.fit(vae, train, epochs=epochs, seed=0)
print(vae, run.summary(), pv.evidence(vae, new).summary(), sep="\n")

cells = pv.impute(vae, new, num_imputations=0).to_dataframe()
cells = cells[cells["column"] != "cultivar"].reset_index()
names = cells["column"]
positions = whole.columns.get_indexer(names)
truth = whole.to_numpy()[cells["row"], positions].astype(float)
scale = train.std(numeric_only=True)[names].to_numpy()
mean = train.mean(numeric_only=True)[names].to_numpy()
value = cells["value"].to_numpy(dtype=float)
is_inside = (cells["5%"] <= truth) & (truth <= cells["95%"])
error = np.sqrt(np.mean(((value - truth) / scale) ** 2))
of_means = np.sqrt(np.mean(((mean - truth) / scale) ** 2))
print(f"imputed cells: error {error:.2f} sd, of column means {of_means:.2f} sd")
print(f"in the 90 % intervals: {is_inside.mean():.0%} of {len(cells)} cells")

predicted = pv.predict(vae, new, columns=["cultivar"])["cultivar"]
accuracy = np.mean(predicted.to_numpy() == whole["cultivar"][120:].to_numpy())
print(f"cultivar predicted for {accuracy:.0%} of the wines")
