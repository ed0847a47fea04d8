"""Ensembles: trained networks joined in one functional model, saved as one file."""

from collections.abc import Sequence

import keras
from keras import initializers, layers

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.graph import logits_of_positions, parts_of
from keras_gw_resnet.models.heads import anywhere
from keras_gw_resnet.models.network import builder
from keras_gw_resnet.models.weights import card_beside, find_model_file, load_keras_file

COMBINATIONS = ("mean", "head")


def _without_dropout(layer):
    """Copy a layer, dropout with a rate of zero: `trainable` does not reach it."""
    config = layer.get_config()
    return type(layer).from_config({**config, "rate": 0.0} if isinstance(layer, layers.Dropout) else config)


@builder
def Ensemble(
    members: Sequence, combine: str = "mean", *, mergers: Sequence[float] | None = None, name: str = "ensemble"
) -> keras.Model:
    """Join networks that take the same strain and give one logit each.

    The members are frozen, and their dropout is off: with a head, training changes the head alone.

    Args:
        members: At least two `keras.Model`, each (batch, samples, detectors) -> (batch, 1).
        combine: "mean" of the logits, or "head": a dense layer over them, to be trained, that begins as the mean.
        mergers: Of members with a head of positions: samples from the start of a position to the coalescence that it tells,
            which another reach puts elsewhere, so that the logits joined are those of one coalescence; None: those of
            the same features are.
        name: Name of the network.

    Returns:
        A `keras.Model` from `strain` (batch, samples, detectors) to `score` (batch, 1).

    Raises:
        InputError: Fewer than two members, members that do not fit, no position that all have, or an unknown combination.
    """
    if combine not in COMBINATIONS:
        raise InputError(f"combine={combine!r}; expected one of {', '.join(COMBINATIONS)}")
    given = list(members) if isinstance(members, list | tuple) else [members]
    members = [member for member in given if isinstance(member, keras.Model)]
    if len(members) < len(given):
        strange = next(member for member in given if not isinstance(member, keras.Model))
        raise InputError(f"members: {strange!r} is no keras.Model; load a saved network with load_model first")
    if len(members) < 2:
        raise InputError(f"{len(members)} member; expected at least two networks")
    shape = members[0].input_shape[1:]
    for member in members:
        if member.input_shape[1:] != shape or member.output_shape[1:] != (1,):
            raise InputError(
                f"member {member.name} maps {member.input_shape[1:]} to {member.output_shape[1:]}; expected {shape} to (1,)"
            )
    parts = [parts_of(member) for member in members]
    at_positions = all(own.head == "positions" for own in parts)
    skipped = _positions_skipped(members, parts, mergers) if at_positions else []
    if at_positions:
        # Joined at every position, before the positions are: a signal is at the same one for all.
        members = [keras.Model(member.input, logits_of_positions(member), name=member.name) for member in members]
    inputs, logits = keras.Input(shape, name="strain"), []
    for index, member in enumerate(members):
        # A copy: the member itself stays trainable, and two of one name may join.
        copy = keras.models.clone_model(member, clone_function=_without_dropout, recursive=True)
        copy.set_weights(member.get_weights())
        copy.name, copy.trainable = f"member{index}_{member.name}", False
        logits.append(copy(inputs))
    if at_positions:
        logits = _aligned(logits, skipped)
    if combine == "mean":
        joined = layers.Average(name="score")(logits)
    else:
        joined = layers.Concatenate(name="logits")(logits)
        given = {"kernel_initializer": initializers.Constant(1 / len(members)), "name": "score"}
        joined = (layers.Conv1D(1, 1, **given) if at_positions else layers.Dense(1, **given))(joined)
    return keras.Model(inputs, anywhere(joined) if at_positions else joined, name=name)


def _positions_skipped(members, parts, mergers):
    """Say how many positions of each member come before the first that all have."""
    ensembles = [member.name for member in members if any(isinstance(layer, keras.Model) for layer in member.layers)]
    if ensembles:
        raise InputError(f"member {ensembles[0]} is an ensemble; give its own members instead")
    if mergers is None:
        before = [own.cropping[0] for own in parts]
        return [max(before) - own for own in before]
    stride = parts[0].field.stride if parts[0].field else None
    for member, own in zip(members, parts, strict=True):
        if own.field is None or own.field.stride != stride:
            raise InputError(
                f"member {member.name}: its positions do not lie as far apart as those of {members[0].name}"
            )
    return [round((max(mergers) - own) / stride) for own in mergers]


def _aligned(logits, skipped):
    """Crop the logits of members to the positions that all have."""
    common = min(logit.shape[1] - skip for logit, skip in zip(logits, skipped, strict=True))
    if common < 1:
        raise InputError("members: their positions tell of different coalescences; expected some in common")
    cropped = []
    for index, (logit, skip) in enumerate(zip(logits, skipped, strict=True)):
        cropping = (skip, logit.shape[1] - skip - common)
        cropped.append(layers.Cropping1D(cropping, name=f"positions{index}")(logit) if any(cropping) else logit)
    return cropped


def _merger_of(card):
    """Return the samples from the start of a position to its coalescence that a card tells, None where it was not measured."""
    timing = card.get("timing", {})
    return timing["merger_seconds"] * card["sample_rate"] if timing.get("signals") else None


@builder
def SavedEnsemble(
    *, members: Sequence[str] = (), combine: str = "head", input_shape: Sequence | None = None, name: str = "ensemble"
) -> keras.Model:
    """Join saved networks; see `Ensemble`. Their cards say where in a position the coalescence is.

    Args:
        members: Names in saved_models, folders, or .keras files, at least two, each once.
        combine: "head", or "mean", which has nothing to train.
        input_shape: (samples, detectors) that the members have to take; None: whatever they all take.
        name: Name of the network.

    Returns:
        A `keras.Model` from `strain` (batch, samples, detectors) to `score` (batch, 1).

    Raises:
        InputError: As `Ensemble`, no such network, or one that is there twice.
    """
    if isinstance(members, str) or not 2 <= len(set(members)) == len(members):
        raise InputError(f"{name}: members={members!r}; expected at least two saved networks, each once")
    paths = [find_model_file(member) for member in members]
    mergers = [_merger_of(card_beside(path)) for path in paths]
    given = {"mergers": None if None in mergers else mergers, "name": name}
    joined = Ensemble([load_keras_file(path) for path in paths], combine, **given)
    if input_shape is not None and joined.input_shape[1:] != tuple(input_shape):
        raise InputError(f"the members take strain of {joined.input_shape[1:]}; expected {tuple(input_shape)}")
    return joined
