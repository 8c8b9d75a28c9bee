"""The groups of a tree and the names of their dimensions; this file never imports torch."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["BESIDE", "GROUPS", "Group"]

_DRAWN = ("chain", "draw", "observation")
_ROW = ("observation",)
_CODE = ("observation", "latent")


class Group(NamedTuple):
    """The dimensions of the variables of a group.

    Attributes:
        leading: of every variable.
        trailing: those that follow; None for data, which have one for each dimension of a row.
        own: of the variables that differ, all dimensions by name.
    """

    leading: tuple[str, ...]
    trailing: tuple[str, ...] | None = None
    own: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    def dims(self, name: str, ndim: int, scalars: Collection[str]) -> tuple[str, ...]:
        """The dimensions of a variable.

        Arguments:
            name: of the variable.
            ndim: how many dimensions it has, without the chain.
            scalars: names of data with one number for each row.

        Example:
            >>> GROUPS["observed_data"].dims("x", 3, ())
            ('observation', 'feature_0', 'feature_1')
        """
        if name in self.own:
            return self.own[name]
        trailing = self.trailing
        if trailing is None and name in scalars:
            trailing = ()
        if trailing is None:
            known = sum(dim != "chain" for dim in self.leading)
            trailing = _data_dims(ndim - known)
        return self.leading + trailing


def _data_dims(count: int) -> tuple[str, ...]:
    return ("feature",) if count <= 1 else tuple(f"feature_{i}" for i in range(count))


BESIDE = {
    "resampled": ("pareto_k", "ess"),
    "imputed_cells": ("cell_row", "cell_column"),
}
"""Of some groups the arrays that are coordinates: they stand beside draws and are none."""

GROUPS = {
    "posterior": Group(_DRAWN, ("latent",)),
    "posterior_predictive": Group(_DRAWN),
    "prior": Group(_DRAWN, ("latent",)),
    "prior_predictive": Group(_DRAWN),
    "observed_data": Group(_ROW),
    "constant_data": Group(_ROW, ()),
    "sample_stats": Group(_DRAWN, ()),
    "log_likelihood": Group(_DRAWN, ()),
    "resampled": Group(_DRAWN, ("latent",), {"pareto_k": _ROW, "ess": _ROW}),
    "variational": Group(
        _ROW,
        (),
        {"loc": _CODE, "scale": _CODE, "scale_tril": (*_CODE, "latent_other")},
    ),
    "imputations": Group(("imputation", "observation")),
    "imputed_cells": Group(
        ("chain", "draw", "cell"), (), {"cell_row": ("cell",), "cell_column": ("cell",)}
    ),
}
