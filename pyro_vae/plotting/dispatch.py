"""`pv.plot`: any result as a figure, or on axes of the user."""

import inspect
import io
from collections.abc import Sequence
from typing import Any, overload

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyro_vae.arguments import public
from pyro_vae.data.frames import is_frame
from pyro_vae.explain import nearest
from pyro_vae.plotting import (  # each registers the results that it draws
    of_answers,  # noqa: F401
    of_contexts,  # noqa: F401
    of_evidence,  # noqa: F401
    of_latent,  # noqa: F401
    of_posterior,  # noqa: F401
    of_reports,  # noqa: F401
    of_samples,
    of_tables,  # noqa: F401
)
from pyro_vae.plotting.layout import Layout, layout_of

__all__ = ["Drawn", "plot"]

DPI = 100
"""Dots per inch of what a notebook shows."""


class Drawn(tuple[Axes, ...]):
    """The axes that were drawn on; a notebook shows their figure.

    Example:
        >>> drawn = Drawn([Figure().add_subplot()])
        >>> len(drawn), drawn.figure is drawn[0].get_figure()
        (1, True)
    """

    __slots__ = ()

    @property
    def figure(self) -> Figure:
        """The figure of the axes: `pv.plot(result).figure.savefig("result.png")`."""
        own: Any = self[0].figure
        figure: Figure = own.figure  # of a subfigure, the whole one
        return figure

    def _repr_png_(self) -> bytes:
        """What a notebook displays."""
        file = io.BytesIO()
        self.figure.savefig(file, format="png", dpi=DPI)
        return file.getvalue()


@overload
def plot(result: Any, *, ax: Axes, **options: Any) -> Axes: ...
@overload
def plot(
    result: Any, *, axes: Sequence[Axes] | None = None, **options: Any
) -> Drawn: ...
@public
def plot(
    result: Any,
    *,
    ax: Axes | None = None,
    axes: Sequence[Axes] | None = None,
    **options: Any,
) -> Any:
    """Draw any result of this library; the page `docs/figures.md` lists what each is drawn as.

    Without `ax` or `axes` there is a new figure, with one panel or several. No window opens and no
    global setting changes; a notebook shows the figure.

    Arguments:
        result: what a function of this library gave, such as `Evidence` or a `Run`; names and their
            `Evidence`, as a dict; the DataFrame that `sample` gives for a table.
        ax: draw the first panel here.
        axes: draw the panels here, one for each; `figure.subplots(1, 2)` gives two.
        **options: of the result: colour_by, name and dimensions of `Codes`; data, names,
            image_shape and pairs of `Samples`, data and pairs of a DataFrame; image_shape of a
            `Traversal` and, with column, of a `Manifold`; truth and column of an `Imputation`; row
            of an `Anomaly`.

    Returns:
        The axes: with `ax` this one, otherwise a tuple of them with the attribute `figure`.

    Raises:
        ValueError: an object that can't be drawn, an unknown option, too few axes.

    Example:
        >>> import torch
        >>> from pyro_vae import VAE, encode
        >>> codes = encode(VAE(data_shape=(4,), latent_dim=2), torch.randn(20, 4))
        >>> drawn = plot(codes)
        >>> drawn[0].get_xlabel()
        'E[z | x], dimension 0'
        >>> plot(codes, ax=drawn[0]) is drawn[0]
        True
    """
    layout = _layout(result, options)
    if ax is not None and axes is not None:
        raise ValueError("plot: expected ax or axes, got both; pass one of them")
    if ax is not None:
        _require_axes([ax])
        layout.panels[0].draw(ax)
        return ax
    if axes is None:
        return _new_figure(layout)
    given = _flat(axes)
    count = len(layout.panels)
    if len(given) < count:
        raise ValueError(
            f"axes: expected {count} of them, one for each panel, got {len(given)}; pass more, or "
            "ax= for the first panel alone"
        )
    chosen = given[:count]
    for one, panel in zip(chosen, layout.panels, strict=True):
        panel.draw(one)
    return Drawn(chosen)


def _layout(result: Any, options: dict[str, Any]) -> Layout:
    """The panels of a result, if it can be drawn with these options."""
    draws: Any = layout_of.dispatch(type(result))
    if is_frame(result):
        draws = of_samples.frame_layout
    if draws is layout_of.dispatch(object):
        return layout_of(result)  # which says what can be drawn
    known = [*inspect.signature(draws).parameters][1:]
    unknown = [name for name in options if name not in known]
    if unknown:
        kind = type(result).__name__
        allowed = nearest(unknown[0], ["ax", "axes", *known])
        raise ValueError(f"plot: unknown argument {unknown[0]!r} of {kind}; {allowed}")
    found: Layout = draws(result, **options)
    return found


def _flat(axes: Any) -> list[Axes]:
    """Axes in any arrangement, as `figure.subplots` gives them, in order."""
    if isinstance(axes, Axes):
        return [axes]
    found = list(getattr(axes, "flat", axes))
    _require_axes(found)
    return found


def _require_axes(axes: Sequence[Any]) -> None:
    wrong = [type(one).__name__ for one in axes if not isinstance(one, Axes)]
    if wrong:
        raise ValueError(
            f"plot: expected axes of matplotlib, got {wrong[0]}; figure.subplots() gives some"
        )


def _new_figure(layout: Layout) -> Drawn:
    _, axes = layout.figure()
    for one, panel in zip(axes, layout.panels, strict=True):
        panel.draw(one)
        if not one.images:
            one.spines[["top", "right"]].set_visible(False)
    return Drawn(axes)
