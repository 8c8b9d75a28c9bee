"""A registry: kinds, the options that their signatures declare, and errors for unknown ones."""

import copy
import pickle
from collections.abc import Mapping
from typing import Any, Literal

import pytest
from pydantic import PositiveInt, ValidationError

from pyro_vae.explain import nearest
from pyro_vae.guides import GUIDES
from pyro_vae.kind_options import Custom, Options, signature_options
from pyro_vae.likelihoods import LIKELIHOODS
from pyro_vae.networks import NETWORKS
from pyro_vae.priors import PRIORS
from pyro_vae.registry import Registry

ROOMS = {
    "prior": PRIORS,
    "likelihood": LIKELIHOODS,
    "guide": GUIDES,
    "network": NETWORKS,
}


class Sized:
    """A member whose options are those of its constructor."""

    def __init__(
        self, context: int, *, size: PositiveInt, mode: Literal["a", "b"] = "a"
    ) -> None:
        self.context, self.size, self.mode = context, size, mode


def room() -> Registry:
    registry = Registry("toy")
    registry.register("sized")(Sized)

    @registry.register("plain")
    def plain(context: int) -> str:
        return f"plain {context}"

    return registry


def test_a_registry_is_a_mapping_in_order_of_registration() -> None:
    registry = room()
    assert isinstance(registry, Mapping)
    assert list(registry) == ["sized", "plain"]
    assert len(registry) == 2
    assert registry["sized"] is Sized
    with pytest.raises(KeyError):
        registry["other"]


def test_register_gives_the_constructor_back() -> None:
    assert Registry("toy").register("sized")(Sized) is Sized


@pytest.mark.parametrize(
    ("kind", "holder"),
    [
        ("plain", f"{__name__}.room.<locals>.plain"),
        ("sized", f"{__name__}.Sized"),
        ("custom", "pyro_vae.kind_options.Custom"),
    ],
)
def test_a_taken_name_is_refused(kind: str, holder: str) -> None:
    registry = room()
    remedy = f"choose another name for {__name__}.other"
    message = f"^toy kind '{kind}' is registered already, by {holder}; {remedy}$"
    with pytest.raises(ValueError, match=message):
        registry.register(kind)(other)
    assert list(registry) == ["sized", "plain"]
    assert registry["sized"] is Sized


def other(context: int, *, size: float = 1.0) -> None: ...


def test_a_definition_that_is_run_again_replaces_itself() -> None:
    """A cell of a notebook, say."""

    def run(default: float) -> Any:
        def kind(context: int, *, size: float = default) -> float:
            return size

        return registry.register("kind")(kind)

    registry = room()
    for default in (1.0, 2.0):
        constructor = run(default)
        assert registry["kind"] is constructor
        assert registry.build(registry.options("kind")(), 0) == default


def test_register_wants_a_name() -> None:
    with pytest.raises(
        ValueError,
        match=r"^toy: expected a name, @register\('my_toy'\), got <class .*Sized'>$",
    ):
        room().register(Sized)  # type: ignore[arg-type]


def test_an_option_without_a_type_is_refused() -> None:
    def bare(context: int, *, size=1) -> None: ...  # type: ignore[no-untyped-def]

    registry = room()
    registry.register("bare")(bare)
    with pytest.raises(
        ValueError, match=r"bare: option 'size' needs a type, like size: float$"
    ):
        registry.options("bare")


def test_a_constructor_that_takes_another_context_is_named() -> None:
    registry = room()
    with pytest.raises(
        ValueError,
        match=rf"^toy 'sized': expected {__name__}.Sized to take 2 positional arguments",
    ):
        registry.build(registry.options("sized")(size=1), 1, 2)


def test_an_object_of_the_users_is_not_built() -> None:
    with pytest.raises(
        ValueError, match=r"^toy: the description names your own a\.B; pass the object$"
    ):
        room().build(Custom(type="a.B"))


def test_options_are_the_keyword_only_arguments() -> None:
    assert signature_options(Sized) == {
        "size": (PositiveInt, ...),
        "mode": (Literal["a", "b"], "a"),
    }
    assert signature_options(lambda context, other=1: None) == {}
    assert set(room().options("sized").model_fields) == {"kind", "size", "mode"}
    assert set(room().options("plain").model_fields) == {"kind"}


def test_options_have_defaults_and_build_their_member() -> None:
    registry = room()
    options = registry.options("sized")(size=3)
    assert options.options() == {"size": 3, "mode": "a"}
    built = registry.build(options, 7)
    assert (type(built), built.context, built.size, built.mode) == (Sized, 7, 3, "a")
    assert registry.build(registry.options("plain")(), 7) == "plain 7"


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({}, "size"),
        ({"size": 0}, "size"),
        ({"size": "big"}, "size"),
        ({"size": 1, "mode": "c"}, "mode"),
        ({"size": 1, "colour": 1}, "colour"),
        ({"size": 1, "kind": "plain"}, "kind"),
    ],
)
def test_wrong_options_are_refused_at_their_path(
    given: dict[str, Any], path: str
) -> None:
    with pytest.raises(ValueError, match=rf"^{path}: [^\n]*$"):
        room().options("sized").model_validate(given)


def test_options_are_one_type_each_kind_and_frozen() -> None:
    registry = room()
    assert registry.options("sized") is registry.options("sized")
    options = registry.options("sized")(size=3)
    assert options == registry.options("sized")(size=3)
    with pytest.raises(ValidationError, match="frozen"):
        options.size = 4


@pytest.mark.parametrize("name", ROOMS)
def test_options_survive_pickle(name: str) -> None:
    """Their class is made while running; a pickle finds it again."""
    registry = ROOMS[name]
    for kind in registry:
        if not any(
            field.is_required()
            for field in registry.options(kind).model_fields.values()
        ):
            options = registry.options(kind)()
            again = pickle.loads(pickle.dumps(options))
            assert again == options == copy.deepcopy(options)
            assert type(again) is registry.options(kind)
    options = LIKELIHOODS.options("binomial")(total_count=3)
    assert pickle.loads(pickle.dumps(options)).options() == {"total_count": 3}
    assert pickle.loads(pickle.dumps(Custom(type="a.B"))) == Custom(type="a.B")


def test_a_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        LIKELIHOODS.options("normal").model_validate({"scale": float("inf")})


@pytest.mark.parametrize("name", ROOMS)
def test_the_rooms_call_themselves_by_their_names(name: str) -> None:
    registry = ROOMS[name]
    assert registry.room == name
    assert all(kind == kind.lower() and kind.isidentifier() for kind in registry)
    assert all(issubclass(registry.options(kind), Options) for kind in registry)


def test_custom_has_a_type_and_no_options() -> None:
    assert Custom(type="a.B").model_dump() == {"kind": "custom", "type": "a.B"}
    with pytest.raises(ValueError, match="type: needed"):
        Custom.model_validate({"kind": "custom"})


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("bernouli", "allowed: 'bernoulli', 'normal'; did you mean 'bernoulli'?"),
        ("norm", "allowed: 'bernoulli', 'normal'; did you mean 'normal'?"),
        ("zzz", "allowed: 'bernoulli', 'normal'"),
        ("", "allowed: 'bernoulli', 'normal'"),
    ],
)
def test_nearest(word: str, expected: str) -> None:
    assert nearest(word, ["bernoulli", "normal"]) == expected
