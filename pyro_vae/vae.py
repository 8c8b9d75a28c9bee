"""The variational autoencoder: two Pyro programs made of three modules."""

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import pyro
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.arguments import public
from pyro_vae.data import Schema, Table
from pyro_vae.data.column_choice import Kinds
from pyro_vae.data.frames import is_frame
from pyro_vae.effects import bind
from pyro_vae.model_and_guide import Guide, Model, Split
from pyro_vae.program import latex_of, program_of, symbols_of
from pyro_vae.rng import own_seed
from pyro_vae.spec import (
    Context,
    Parts,
    Spec,
    bind_programs,
    build,
    describe,
    joined,
    read,
)
from pyro_vae.spec.from_table import of_table
from pyro_vae.spec.members import classifier_of
from pyro_vae.spec.missing import Missing

_numbers = count(1)
Part = str | Mapping[str, Any] | nn.Module | Callable[..., Any]


class VAE(nn.Module):
    """A latent variable model p(x) = ∫ p(x | z) p(z) dz with an amortized guide q(z | x).

    `vae.model` and `vae.guide` are ordinary Pyro programs with sites "z" and "x" in a plate "data".

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014).

    Arguments:
        data_shape: shape of one row.
        latent_dim: length of z.
        prior, likelihood, guide: a kind, a table {"kind": ..., options}, a Distribution, or a
            module or a function that returns one: prior(), likelihood(z), guide(x).
        hidden_dims, activation: of the default networks.
        encoder: a network kind, a table, or any module or function from (n, *data_shape) to
            features (n, width).
        decoder: likewise, from (n, latent_dim) to the parameters of the likelihood.
        standardize: divide the encoder's inputs by each "feature"'s std, by one for "all", or by
            "none".
        denoise: standard deviation of the noise on the encoder's inputs while training, in
            standardised units.
        missing: "at_random": nan is a missing cell, and p(x | z) is that of the observed ones. The
            encoder gets the standardised cells, 0 where missing, and then the mask, 1 where
            observed: (n, 2 D) numbers for rows (n, D), and for images twice the channels. A guide
            of your own gets the rows with nan. "self_masking": a cell may be missing because of its
            value. "none": nan is an error.
        seed: of the initial weights. The global generator is not touched.
        table: names, kinds and levels of the columns, for rows of a table; see `from_data`.
        context: what is given with each row and has no density: {"dim": C} for arrays (n, C), or
            {"columns": [...]} of a table in `from_data`. Options: whether "prior", "encoder" and
            "decoder" take it (true), in the "first" of their "layers" or "all", and the length of
            an "embedding" of levels (one-hot).

    Raises:
        ValueError: an unknown kind or option, a part whose shapes or support don't fit, or one with
            parameters outside a module, which no training would reach.

    Example:
        >>> counts = {"kind": "binomial", "total_count": 16}
        >>> vae = VAE(data_shape=(64,), latent_dim=2, likelihood=counts)
        >>> vae.posterior(torch.zeros(5, 64)).batch_shape
        torch.Size([5])
    """

    initialized: Tensor

    @public
    def __init__(
        self,
        *,
        data_shape: tuple[int, ...],
        latent_dim: int = 8,
        prior: Part | Distribution = "standard_normal",
        likelihood: Part | Distribution = "normal",
        guide: Part | Distribution = "mean_field",
        hidden_dims: tuple[int, ...] = (128, 128),
        activation: str = "silu",
        encoder: Part = "mlp",
        decoder: Part = "mlp",
        standardize: Literal["feature", "all", "none"] = "feature",
        denoise: float = 0.0,
        missing: Missing | Mapping[str, Any] = "none",
        seed: int = 0,
        table: Schema | None = None,
        context: Context | Mapping[str, Any] | None = None,
    ) -> None:
        fields = {
            name: value for name, value in locals().items() if name in Spec.model_fields
        }
        super().__init__()
        self.spec, objects = describe(fields)
        name = f"vae_{next(_numbers)}"
        with own_seed(self.spec.seed), pyro.settings.context(module_local_params=True):
            parts = build(self.spec, objects)
            split = Split(self.spec.data_shape, self.spec.context)
            self.model = Model(f"{name}.model", parts.prior, parts.likelihood, split)
            classifier = None
            if split.context is not None and split.context.label is not None:
                classifier = classifier_of(self.spec)
            self.guide = Guide(f"{name}.guide", parts.posterior, split, classifier)
            bind_programs(self.spec, objects, self.model, self.guide)
            bind(self.model, self.guide)
        self.register_buffer("initialized", torch.tensor(False))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Give the programs of a copy new names: of two with one name, SVI would train only one."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        name = f"vae_{next(_numbers)}"
        for role, program in {"model": self.model, "guide": self.guide}.items():
            program._pyro_name = f"{name}.{role}"
            joined(program)

    def forward(self, *inputs: Any) -> Any:
        raise ValueError(
            "vae(...): a VAE is called by its parts: vae.posterior(x), vae.likelihood(z), "
            "vae.prior(); or by pyro_vae.encode(vae, x), reconstruct(vae, x), "
            "sample(vae, num_rows), evidence(vae, x)"
        )

    @classmethod
    def from_data(
        cls,
        data: Any,
        *,
        columns: Sequence[str] | Kinds | None = None,
        drop: Sequence[str] = (),
        index: str | None = None,
        **fields: Any,
    ) -> Self:
        """A model for a table: a likelihood for each kind of column, known by their names.

        Rows of other tables are matched by name, and samples come as DataFrames of the same
        columns, dtypes and levels.

        A table with missing cells makes a model with missing="at_random".

        Arguments:
            data: a DataFrame of any library, or a `Table` from `pyro_vae.data.read`.
            columns: the columns to take, or kinds of columns by name; see `pyro_vae.data.table`.
            drop: columns to leave out.
            index: the column with the labels of the rows.
            **fields: other fields of the model, such as latent_dim; a likelihood is that of the
                columns of numbers whose kind isn't given by name, and `mixed` or an object that
                of the whole row; a context {"columns": [...]} takes these columns out of x, text
                as levels and numbers as numbers, or by kinds, {"batch": "categorical"} or
                "random_effect".

        Raises:
            ValueError: no table, or a column of a kind that its cells can't have.

        Example:
            >>> import pandas as pd
            >>> frame = pd.DataFrame({"x": [0.5, -1.5, 2.0], "seen": [True, False, True]})
            >>> vae = VAE.from_data(frame, latent_dim=1)
            >>> [group.likelihood.kind for group in vae.spec.likelihood.columns]
            ['normal', 'bernoulli']
        """
        if not isinstance(data, Table) and not is_frame(data):
            raise ValueError(
                f"data: expected a DataFrame or a Table, got {type(data).__name__}; read a file "
                "with pyro_vae.data.read, or for an array take VAE(data_shape=x.shape[1:])"
            )
        rows, whole = of_table(data, columns, drop, index, fields)
        return cls(data_shape=rows.values.shape[1:], table=rows.schema, **whole)

    @classmethod
    def from_spec(
        cls,
        source: Spec | str | Path | Mapping[str, Any],
        **parts: Any,
    ) -> Self:
        """The model of a description: a `Spec`, a dict, or a TOML or JSON file.

        Arguments:
            source: the description.
            parts: fields that replace those of the description.
        """
        fields = source.model_dump() if isinstance(source, Spec) else read(source)
        fields |= parts
        describe(
            fields
        )  # an unknown or a missing field of a file is a ValueError that names it
        return cls(**fields)

    def __str__(self) -> str:
        size = sum(p.numel() for p in self.parameters())
        return f"VAE, {size:,} parameters\n{symbols_of(self.spec, self.parts)}"

    def program(self) -> str:
        """Model and guide as one file of torch and Pyro alone, which loads the saved weights.

        It has the sizes and constants of this model, and its ELBO. Programs and parts take the
        context of each row where the model has one.

        Raises:
            ValueError: a part that can't be written in a few lines, with what to paste where.

        Example:
            >>> "class VAE(nn.Module):" in VAE(data_shape=(4,), latent_dim=2).program()
            True
        """
        return program_of(self.spec, self.parts, self.guide.classifier)

    def latex(self) -> str:
        """p(z), p(x | z) and q(z | x) in LaTeX, as an `aligned` environment."""
        return latex_of(self.spec)

    @property
    def parts(self) -> Parts:
        return Parts(self.model.prior, self.model.likelihood, self.guide.posterior)

    @property
    def prior(self) -> nn.Module:
        """`prior()` is p(z)."""
        return self.parts.prior

    @property
    def likelihood(self) -> nn.Module:
        """`likelihood(z)` is p(x | z)."""
        return self.parts.likelihood

    @property
    def posterior(self) -> nn.Module:
        """`posterior(x)` is q(z | x)."""
        return self.parts.posterior

    def given(self, context: Tensor | None) -> "Given":
        """p(z | c), p(x | z, c) and q(z | x, c) of rows with these contexts, (n, C).

        Example:
            >>> vae = VAE(data_shape=(4,), latent_dim=2, context={"dim": 1})
            >>> given = vae.given(torch.zeros(5, 1))
            >>> given.prior().batch_shape, given.likelihood(torch.zeros(5, 2)).event_shape
            (torch.Size([5]), torch.Size([4]))
        """
        if self.spec.context is not None or context is not None:
            self.model.split.require(context, "given")
        return Given(self, context)


class Given(NamedTuple):
    """A model with the contexts of some rows in place: `prior()`, `likelihood(z)`, `posterior(x)`.

    Attributes:
        vae: the model.
        context: (n, C); None for a model without a context.
    """

    vae: VAE
    context: Tensor | None

    def prior(self) -> Distribution:
        """p(z | c): batch shape (n,) where the prior takes the context, else ()."""
        return self.vae.model.p_z(self.context)

    def likelihood(self, z: Tensor) -> Distribution:
        """p(x | z, c) for z (..., n, latent_dim)."""
        return self.vae.model.p_x(z, self.context)

    def posterior(self, x: Tensor) -> Distribution:
        """q(z | x, c) for x (n, *data_shape)."""
        return self.vae.guide.q_z(x, self.context)
