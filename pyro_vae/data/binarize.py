"""Grey levels as bits: drawn anew in each step, or once."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pyro_vae.data.arrays import ArrayRows
from pyro_vae.data.bits import PackedBits
from pyro_vae.data.checks import Shape
from pyro_vae.data.placement import Placement
from pyro_vae.data.rows import Rows
from pyro_vae.data.summary_statistics import Statistics


def binarized(grey: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Bits with P(1) = grey, drawn anew with each call.

    References:
        On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov, Murray, 2008).

    Arguments:
        grey: numbers in [0, 1], of any shape.
        generator: for fixed bits, such as those of test rows; by default torch's own.

    Returns:
        0 or 1 for each number, in the type of `grey`.

    Example:
        >>> binarized(torch.tensor([0.0, 1.0, 0.5]))[:2]
        tensor([0., 1.])
    """
    return torch.bernoulli(grey, generator=generator)


def binarized_once(
    rows: Rows, data_shape: Shape, seed: int, placement: Placement
) -> ArrayRows:
    """Grey rows as bits that are the same in every pass, packed in memory."""
    generator = torch.Generator().manual_seed(seed)
    packed = []
    for batch in rows.batches(1024):
        bits = binarized(batch.cpu(), generator).flatten(1).bool().numpy()
        packed.append(np.packbits(bits, axis=1))
    return ArrayRows(PackedBits(np.concatenate(packed), data_shape), placement)


def bits_of(grey: Statistics) -> Statistics:
    """The statistics of the bits of grey rows: their variance is mean (1 - mean).

    Example:
        >>> half = torch.tensor([0.5])
        >>> bits_of(Statistics(10, mean=half, std=0 * half, sample=torch.ones(2, 1))).std
        tensor([0.5000])
    """
    variance = grey.mean * (1 - grey.mean)
    return replace(grey, std=variance.sqrt(), sample=binarized(grey.sample))


def levels(batches: Iterable[Tensor], name: str) -> Iterator[Tensor]:
    """The same batches of grey levels, checked as they pass.

    Raises:
        ValueError: at the end, where no level is above 1 / 255: the bytes were 0 and 1, which are
            bits and not levels.
    """
    brightest = 0.0
    for batch in batches:
        brightest = max(brightest, float(batch.max()))
        yield batch
    if 0 < brightest <= 1.001 / 255:
        raise ValueError(
            f"{name}: expected grey levels in [0, 1] or bytes up to 255, got none above 1 / 255; "
            "bits need no binarize='dynamic', and levels in [0, 1] are divided by 255 only if they "
            "are bytes"
        )
