"""A network put together once from its description: front -> stack -> head."""

import contextlib
import functools
import inspect
import operator
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from keras_gw_resnet.backend import channels_last
from keras_gw_resnet.errors import InputError, first_line
from keras_gw_resnet.models.blocks import Style
from keras_gw_resnet.models.front import RANKED_OPTIONS, Front
from keras_gw_resnet.models.graph import receptive_field
from keras_gw_resnet.models.heads import Head
from keras_gw_resnet.models.parts import Parts
from keras_gw_resnet.models.receptive import ReceptiveField
from keras_gw_resnet.models.transfer import take_weights
from keras_gw_resnet.models.weights import card_beside, find_model_file, find_weights

# Keywords of a builder that stand for the options of a dataclass, each a keyword of its own.
GROUPS = {"style": Style, "front": Front}
DIFFERING = "other than in this call,"


@dataclass(frozen=True, kw_only=True)
class Network:
    """What a network is made of, before it is built.

    Attributes:
        name: Its name.
        input_shape: (samples, detectors).
        front: Front.
        stack: Function of what the front gives that gives features (batch, length, channels).
        field: ReceptiveField of the features; None: not the same everywhere.
        head: Head.
        weights: Of a saved network, or None.
    """

    name: str
    input_shape: tuple
    front: Front
    stack: Callable
    field: ReceptiveField | None
    head: Head
    weights: Path | None = None

    @property
    def ranked(self) -> ReceptiveField | None:
        """ReceptiveField of the ranking statistic; None without."""
        return self._statistic_field(self.front) if self.front.statistic_shortcut else None

    def _statistic_field(self, front):
        return front.statistic_field(self.field.stride, self.input_shape[1])

    @property
    def parts(self) -> Parts:
        """Parts of the network."""
        kind, layer = self.head.kind()
        field = self.field.merged(self.ranked) if self.ranked else self.field
        return Parts(
            window_samples=self.input_shape[0],
            front=self.front,
            field=field,
            earlier=field.left - self.field.left if self.ranked else 0,
            cropping=self.head.cropping(field, self.input_shape[0]),
            head=kind,
            head_layer=layer,
            head_kernel=self.head.head_kernel_size if self.head.positions else 1,
            classes=self.head.classes,
        )

    def build(self) -> keras.Model:
        """Build the network: a `keras.Model` that says its Parts as `model.parts`."""
        samples, field = self.input_shape[0], self.field
        if field is not None and samples is not None and samples < field.stride:
            raise InputError(
                f"input of {samples} samples is too short for the strides of this network; "
                f"expected at least {field.stride} samples"
            )
        self.front.check(self.name, self.input_shape[1], self.head.positions)
        strain = keras.Input(tuple(self.input_shape), name="strain")
        seen, statistic = self.front(strain, field.stride if field else 1)
        parts = self.parts
        score = self.head(self.stack(seen), parts.cropping, statistic, self.front.statistic_shortcut, self._tap())
        model = keras.Model(strain, score, name=self.name)
        if self.weights is not None:
            take_weights(model, self.weights)
        model.parts = parts
        return model

    def _tap(self):
        """Say which of the features that a position takes has its middle in the middle of the position."""
        field, taps = self.field, self.head.head_kernel_size
        if self.ranked is None:
            return 0
        # What serves light binaries alone comes before the middle.
        others = self._statistic_field(replace(self.front, statistic_light=0))
        position = ((taps - 1) * field.stride + field.right - field.left) / 2
        tap = round((position - (others.right - others.left) / 2) / field.stride)
        return min(max(tap, 0), taps - 1)


def options_of(*functions: Callable) -> list[str]:
    """Return the names of the keyword-only options of a builder, those of `assemble` and of the head included where it hands them on."""
    parameters = [p for f in functions for p in inspect.signature(f).parameters.values()]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        shared = {**inspect.signature(assemble).parameters, **inspect.signature(Head).parameters}
        parameters += [p for name, p in shared.items() if name not in ("reach", "front")]
    return list(dict.fromkeys(p.name for p in parameters if p.kind is p.KEYWORD_ONLY))


def refuse_unknown(name: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise InputError when one of the given options is none of the known."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InputError(f"{name} has no option {', '.join(unknown)}; its options are {', '.join(known)}")


def builder(description: Callable) -> Callable:
    """Make a builder of a function that describes a network: it refuses, with InputError, options it does not have and values that Keras refuses.

    In place of the keywords `style` and `front` it has the options of `blocks.Style` and `front.Front`. Called with `describe=True` it gives
    the Network, and builds nothing.
    """
    own = inspect.signature(description)
    groups = {name: inspect.signature(made).parameters for name, made in GROUPS.items() if name in own.parameters}
    whole = [
        option.replace(kind=parameter.kind)
        for parameter in own.parameters.values()
        for option in groups.get(parameter.name, {"": parameter}).values()
    ]

    @functools.wraps(description)
    def checked(*args, describe=False, **options):
        refuse_unknown(description.__name__, options, known)  # ty: ignore[missing-attribute]
        try:
            with (
                channels_last(),
                as_saved(options.get("name", getattr(names.get("name"), "default", "")), options) as given,
            ):
                for name, members in groups.items():
                    given[name] = GROUPS[name](**{option: given.pop(option) for option in members if option in given})
                network = description(*args, **given)
                return network if describe else _built(network)
        except InputError:
            raise
        except Exception as error:  # whatever Keras and its backend find out about the values
            raise InputError(
                f"{description.__name__} cannot be built with {args or ''}{options}: {first_line(error)}"  # ty: ignore[missing-attribute]
            ) from error

    checked.__signature__ = own.replace(parameters=whole)  # ty: ignore[missing-attribute]
    names = {**dict.fromkeys(options_of(checked)), **checked.__signature__.parameters}  # ty: ignore[missing-attribute]
    known = [
        name for name in names if getattr(own.parameters.get(name), "kind", None) is not inspect.Parameter.VAR_KEYWORD
    ]
    return checked


@contextlib.contextmanager
def as_saved(name: str, options: dict) -> Generator[dict]:
    """Give the options of a network with those of the saved one whose `weights` it is to have, where they are not given, and its window.

    They are taken over where the card names the same model. Where one that is given differs, and its weights do not fit for that, an
    InputError says which. Whether the statistic of templates is added is left to who says anything about it, and a network without its head
    has no options of one.

    Args:
        name: Of the model, as in `list_models()`.
        options: Keyword options of its builder.
    """
    saved, window = _of_saved(name, options)
    differing = [f"{option}={value!r}" for option, value in saved.items() if options.get(option, value) != value]
    try:
        yield {**window, **saved, **options}
    except InputError as error:
        if not differing or DIFFERING in str(error):
            raise
        raise InputError(f"weights={str(options['weights'])!r}: {DIFFERING} it has {', '.join(differing)}") from error


def _of_saved(name, options):
    try:
        card = card_beside(find_model_file(options["weights"]))
    except (KeyError, InputError, OSError, ValueError):  # no weights, or what `assemble` says more about
        return {}, {}
    if card.get("model") != name or not isinstance(card.get("options"), dict):
        return {}, {}
    left_out = ("weights",)
    if options.get("include_top") is False:
        left_out = (*left_out, "pooling", "head_kernel_size", "dropout", *RANKED_OPTIONS)
    elif any(option in options for option in RANKED_OPTIONS):
        left_out = (*left_out, *RANKED_OPTIONS)
    known = {"window_samples", "detectors"} <= card.keys()
    window = {"input_shape": (card["window_samples"], len(card["detectors"]))} if known else {}
    return {option: value for option, value in card["options"].items() if option not in left_out}, window


def _built(made):
    return made.build() if isinstance(made, Network) else made


def assemble(
    stack: Callable,
    *,
    name: str,
    reach: Callable | None = None,
    front: Front | None = None,
    input_shape: Sequence = (2048, 2),
    weights: Path | str | None = None,
    **head,
) -> Any:
    """Describe a network around its stack.

    Args:
        stack: Function of a tensor, the strain (batch, samples, detectors) or what the front makes of it, that gives features (batch,
            length, channels).
        name: Name of the network.
        reach: Function of the ReceptiveField of what the stack is given that gives that of the features; None: it is read off the graph.
        front: Front; None: the stack is given the strain.
        input_shape: (samples, detectors) of the whitened strain (see `preprocess_input`); samples may be None where
            the head pools.
        weights: None, the path of a .keras or .weights.h5 file, or the name of a saved network of the same architecture.
        **head: Options of `heads.Head`.

    Returns:
        Network, which a `builder` builds: a `keras.Model` from `strain` (batch, samples, detectors) to `score` (batch, classes).

    Raises:
        InputError: Options out of range, an input too short for the network, weights of another architecture.
    """
    head = Head(**head)
    require_shape(input_shape)
    front = front or Front()
    field = reach(front.field_of(input_shape[1])) if reach else _field_read(stack, front, input_shape)
    weights = None if weights is None else find_weights(weights)
    return Network(
        name=name, input_shape=tuple(input_shape), front=front, stack=stack, field=field, head=head, weights=weights
    )


def _field_read(stack, front, input_shape):
    """Build a stack alone and read the ReceptiveField of its features off the graph; None of one that flattens."""
    strain = keras.Input(tuple(input_shape))
    seen, _ = front.unranked()(strain, front.stride)
    try:
        return receptive_field(strain, stack(seen))
    except ValueError:
        return None


def require_shape(input_shape: object) -> None:
    """Raise InputError unless this is (samples, detectors), samples a positive whole number or None."""
    shape = input_shape if isinstance(input_shape, list | tuple) else ()
    sizes = [operator.index(size) for size in shape if hasattr(size, "__index__")]
    if len(shape) != 2 or shape[1] is None or len(sizes) < 2 - (shape[0] is None) or min(sizes) < 1:
        raise InputError(f"input_shape={input_shape!r}; expected (samples, detectors)")
