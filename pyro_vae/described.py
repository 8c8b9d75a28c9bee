"""The base of all descriptions: a pydantic model with plain errors, which takes NumPy's numbers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import (
    BaseModel,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from pyro_vae.explain import explain

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


@contextmanager
def explained(model: Any) -> Iterator[None]:
    """pydantic's errors about a description of type `model` become ValueErrors in our words."""
    try:
        yield
    except ValidationError as error:
        raise ValueError(explain(error, model)) from error


class _Explained(ModelMetaclass):
    """Explains what is wrong with a description when it is constructed.

    pydantic makes a description inside another one without this call, so that its errors keep their
    location within the whole.
    """

    def __call__(cls, *args: Any, **fields: Any) -> Any:
        with explained(cls):
            return super().__call__(*args, **fields)


class Described(BaseModel, metaclass=_Explained):
    """A description; NumPy's numbers are numbers, and True is not.

    Raises:
        ValueError: fields that are unknown, missing or of another type, each with what is allowed.

    Example:
        >>> class Size(Described):
        ...     width: int
        >>> Size(width=np.int64(3))
        Size(width=3)
        >>> Size(width=True)
        Traceback (most recent call last):
        ValueError: width: expected a number, got True
    """

    @model_validator(mode="wrap")
    @classmethod
    def _of_numbers(cls, given: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        given = plain(given)
        made = validate(given)
        errors = list(_bools_as_numbers(given, made, ()))
        if errors:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return made

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        with explained(cls):
            return super().model_validate(obj, **options)

    @classmethod
    def model_validate_json(
        cls, json_data: str | bytes | bytearray, **options: Any
    ) -> Self:
        with explained(cls):
            return super().model_validate_json(json_data, **options)


def plain(value: Any) -> Any:
    """NumPy's numbers and arrays inside a description as Python's.

    Example:
        >>> plain({"a": np.int64(3), "b": (np.float64(0.5), "c")})
        {'a': 3, 'b': (0.5, 'c')}
    """
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if type(value) is dict:
        return {name: plain(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    return value


def _bools_as_numbers(
    given: Any, made: Any, location: tuple[int | str, ...]
) -> Iterator[InitErrorDetails]:
    """An error for each bool that pydantic has read as a number."""
    if (
        isinstance(given, bool)
        and isinstance(made, int | float)
        and not isinstance(made, bool)
    ):
        message = PydanticCustomError(
            "a_bool", "expected a number, got {got}", {"got": str(given)}
        )
        yield InitErrorDetails(type=message, loc=location, input=given)
    elif isinstance(given, Mapping):
        for name, item in given.items():
            is_table = isinstance(made, Mapping)
            value = made.get(name) if is_table else getattr(made, str(name), None)
            yield from _bools_as_numbers(item, value, (*location, name))
    elif (
        isinstance(given, list | tuple)
        and isinstance(made, Sequence)
        and len(given) == len(made)
    ):
        for index, item in enumerate(given):
            yield from _bools_as_numbers(item, made[index], (*location, index))
