"""Pictures of checks of q(z | x)."""

import numpy as np

from pyro_vae.analysis import Audit, Calibration
from pyro_vae.analysis.figures.calibration_ranks import calibration_ranks
from pyro_vae.analysis.figures.guide_against_nuts import (
    guide_agreement,
    guide_intervals,
)
from pyro_vae.plotting.layout import Layout, Panel, layout_of


@layout_of.register
def calibration_layout(found: Calibration) -> Layout:
    """Ranks of the true z, and of log p(x, z), with a band for all curves together."""
    pit = np.column_stack([found.pit, found.joint_pit])
    names = [f"z[{d}]" for d in range(found.pit.shape[1])] + ["log p(x, z)"]
    size = (5.0, 3.8)
    return Layout(
        [Panel(lambda axes: calibration_ranks(axes, pit, names=names), *size)]
    )


@layout_of.register
def audit_layout(found: Audit) -> Layout:
    """Shifts and widths of the guide against NUTS; the intervals that differ most."""
    rows, latent_dim = found.nuts.mean.shape
    differences = {"guide": found.guide, "resampled": found.resampled}
    labels = range(rows) if found.row_labels is None else found.row_labels
    names = [f"{label}, z[{d}]" for label in labels for d in range(latent_dim)]
    nuts = (found.nuts.mean.ravel(), found.nuts.sd.ravel())
    mean = found.nuts.mean + found.guide.shift * found.nuts.sd
    guide = (mean.ravel(), (found.guide.ratio * found.nuts.sd).ravel())
    return Layout(
        [
            Panel(lambda axes: guide_agreement(axes, differences)),
            Panel(lambda axes: guide_intervals(axes, names, nuts, guide), height=4.0),
        ]
    )
