"""The pixels of rows that are images: how those of drawn rows differ from those of the data."""

import numpy as np

from pyro_vae.page.html import figure, grid
from pyro_vae.page.pictures import images
from pyro_vae.page.subject import Subject


def pixels(subject: Subject, draws: np.ndarray, differs: np.ndarray) -> str:
    """Mean and standard deviation of each pixel, of the data and of the model, and what differs.

    Arguments:
        subject: rows that are images.
        draws: rows of the model, (m, D).
        differs: which pixels have another distribution, (D,).
    """
    means = np.stack([np.nanmean(rows, axis=0) for rows in (subject.flat, draws)])
    widths = np.stack([np.nanstd(rows, axis=0) for rows in (subject.flat, draws)])
    pictures = [
        _beside(subject, "Mean", means),
        _beside(subject, "Standard deviation", widths),
        _difference(subject, means[1] - means[0], differs),
    ]
    return grid(pictures)


def _beside(subject: Subject, name: str, both: np.ndarray) -> str:
    """A number of each pixel, of the data and of the model."""
    assert subject.image_shape is not None
    alt = f"{name} of each pixel: left the data, right the model"
    picture = images(both, alt, image_shape=subject.image_shape, columns=2)
    largest = float(np.abs(both[0] - both[1]).max())
    caption = (
        f"{name} of each pixel, left of the data and right of the model; the largest difference "
        f"is {largest:.2g}."
    )
    return figure(picture, caption)


def _difference(subject: Subject, gap: np.ndarray, differs: np.ndarray) -> str:
    """The difference of the means, and the pixels that differ."""
    assert subject.image_shape is not None
    largest = max(float(np.abs(gap).max()), 1e-9)
    both = np.stack([gap, np.where(differs, largest, -largest)])
    alt = f"left the difference of the means, right the {differs.sum()} pixels that differ"
    limits = (-largest, largest)
    picture = images(
        both, alt, image_shape=subject.image_shape, columns=2, limits=limits
    )
    caption = (
        f"Left: mean of the model minus that of the data, black to white from {-largest:.2g} to "
        f"{largest:.2g}. Right, white: pixels that differ by the tests."
    )
    return figure(picture, caption)
