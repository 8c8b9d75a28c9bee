"""Draw the picture of the README: digits, reconstructions, samples, a map of the latent space.

    python examples/digits_picture.py [picture.png]

The model is the one of the README's program, trained with the default budget on the first 1400
images. What is drawn was not seen in training, except for the map, which shows all images.
"""

import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.patheffects import withStroke
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE

import pyro_vae as pv

TRAINING_ROWS = 1400
SHOWN = 10
LARGEST_COUNT = 16
LATENT_DIM = 8
# Nine of Petroff, "Accessible color sequences for data visualization" (2021), and a green.
COLOURS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#2e8b57",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#5cc4c8",
)
INK = "#222222"
FRAME = {"color": "#c8c8c8", "linewidth": 0.8}


def fitted(x: np.ndarray) -> pv.VAE:
    """The model of the README's program, trained on x."""
    likelihood = {"kind": "beta_binomial", "total_count": LARGEST_COUNT}
    vae = pv.VAE(data_shape=(64,), latent_dim=LATENT_DIM, likelihood=likelihood)
    pv.fit(vae, x, seed=0)
    return vae


def write_title(axes: Axes, text: str) -> None:
    """A title above the left end of the axes."""
    axes.set_title(text, loc="left", fontsize=11, color=INK, pad=5)


def draw_images(figure: SubFigure, blocks: dict[str, np.ndarray]) -> None:
    """One block of images for each title, (n, 64), SHOWN in a line, black for the largest count."""
    lines = [len(images) // SHOWN for images in blocks.values()]
    between_blocks = {"hspace": 0.45, "height_ratios": lines}
    outer = figure.add_gridspec(
        len(blocks), 1, left=0.02, right=0.985, top=0.92, bottom=0.03, **between_blocks
    )
    for block, count, (title, images) in zip(outer, lines, blocks.items(), strict=True):
        panels = block.subgridspec(count, SHOWN, wspace=0.12, hspace=0.12).subplots()
        for axes, image in zip(panels.flat, images, strict=True):
            axes.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=LARGEST_COUNT)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(**FRAME)
        write_title(panels.flat[0], title)


def draw_map(axes: Axes, points: np.ndarray, digits: np.ndarray) -> None:
    """Two-dimensional points, (n, 2), coloured by their digit, which is written at its median."""
    for digit, colour in enumerate(COLOURS):
        own = points[digits == digit]
        axes.scatter(own[:, 0], own[:, 1], s=9, color=colour, linewidths=0, alpha=0.75)
    outline = [withStroke(linewidth=4, foreground="white")]
    for digit, colour in enumerate(COLOURS):
        x, y = np.median(points[digits == digit], axis=0)
        name = axes.text(
            x, y, str(digit), color=colour, fontsize=17, ha="center", va="center"
        )
        name.set(fontweight="bold", path_effects=outline)
    write_title(axes, f"latent space: means of q(z | x), {LATENT_DIM}-D by t-SNE")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(**FRAME)


def main() -> None:
    matplotlib.use("Agg")
    path = sys.argv[1] if len(sys.argv) > 1 else "digits.png"
    x = pv.data.load("digits")
    digits = load_digits().target
    vae = fitted(x[:TRAINING_ROWS])

    held_out = x[TRAINING_ROWS:]
    held_out_digits = digits[TRAINING_ROWS:]
    first_of_each = [
        int(np.flatnonzero(held_out_digits == digit)[0]) for digit in range(SHOWN)
    ]
    data = held_out[first_of_each]
    blocks = {
        "data (held out)": data,
        "reconstructions: E[x | z] at the mean of q(z | x)": pv.reconstruct(vae, data),
        "samples: E[x | z] for z drawn from the prior": pv.sample(
            vae, 2 * SHOWN, seed=0
        ).mean,
    }
    points = TSNE(random_state=0, init="pca", perplexity=40).fit_transform(
        pv.encode(vae, x).loc
    )

    figure = plt.figure(figsize=(11, 3.7))
    left, right = figure.subfigures(1, 2, width_ratios=(1.55, 1))
    draw_images(left, blocks)
    draw_map(right.add_axes((0.02, 0.03, 0.95, 0.89)), points, digits)
    figure.savefig(path, dpi=150)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
