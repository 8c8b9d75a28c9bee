"""A VAE in a pipeline of scikit-learn: codes for a classifier, chosen by cross-validation.

    python examples/sklearn_pipeline.py [--epochs 60]

Breast cancer: 569 tumours, 30 measurements, benign or malignant. One sees the accuracy of logistic
regression on 4 numbers for each tumour, by principal components and by the means of q(z | x), and
which likelihood has the highest log p(x) of held-out tumours.
"""

import argparse

from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pyro_vae.sklearn import VAEDensity

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=60)
epochs = parser.parse_args().epochs

x, is_benign = load_breast_cancer(return_X_y=True)
density = VAEDensity(
    latent_dim=4,
    hidden_dims=(32,),
    epochs=epochs,
    num_particles=100,
    random_state=0,
)
for name, reduction in {"PCA": PCA(4), "VAE": density}.items():
    pipeline = make_pipeline(StandardScaler(), reduction, LogisticRegression())
    accuracy = cross_val_score(pipeline, x, is_benign, cv=5)
    print(f"{name}: accuracy {accuracy.mean():.3f} ± {accuracy.std():.3f} over 5 folds")

# Scaled once, before the search: log p(x) of different units can't be compared.
scaled = StandardScaler().fit_transform(x)
search = GridSearchCV(density, {"likelihood": ["normal", "student_t"]}, cv=3)
search.fit(scaled)
results = search.cv_results_
for chosen, score in zip(results["params"], results["mean_test_score"], strict=True):
    print(f"log p(x) {score:.2f} nats per row, likelihood {chosen['likelihood']}")
