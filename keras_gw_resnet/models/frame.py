"""What every network shares: input, head, weights, and the conventions of keras.applications."""

import functools
import inspect
import math
import operator

import keras
from keras import activations, initializers, layers

from keras_gw_resnet.backend import channels_last
from keras_gw_resnet.errors import InputError, first_line
from keras_gw_resnet.models.blocks import Style, require_counts, require_flags, require_known, require_share
from keras_gw_resnet.models.places import anywhere
from keras_gw_resnet.models.receptive import receptive_field
from keras_gw_resnet.models.shortcut import with_shortcut
from keras_gw_resnet.models.weights import find_weights, take_weights

# Where the number of samples is left open, the edges are cropped if features remain of a window of this length.
USUAL_SAMPLES = 2048
POOLINGS = {"avg": layers.GlobalAveragePooling1D, "max": layers.GlobalMaxPooling1D}


def options_of(*functions):
    """Return the names of the keyword-only options of a builder, those of `assemble` included where it hands them on."""
    parameters = [p for f in functions for p in inspect.signature(f).parameters.values()]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        parameters += inspect.signature(assemble).parameters.values()
    return list(dict.fromkeys(p.name for p in parameters if p.kind is p.KEYWORD_ONLY))


def refuse_unknown(name, given, known):
    """Raise InputError when one of the given options is none of the known."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InputError(f"{name} has no option {', '.join(unknown)}; its options are {', '.join(known)}")


def builder(build):
    """Make a builder of networks refuse, with InputError, options it does not have and values that Keras refuses.

    In place of a keyword `style` it has the options of `blocks.Style`, and is handed the Style that they make.
    """
    own, style = inspect.signature(build), inspect.signature(Style).parameters
    styled = "style" in own.parameters
    whole = []
    for parameter in own.parameters.values():
        options = style.values() if parameter.name == "style" else [parameter]
        whole += [option.replace(kind=parameter.kind) for option in options]

    @functools.wraps(build)
    def checked(*args, **options):
        refuse_unknown(build.__name__, options, known)
        try:
            with channels_last():
                if styled:
                    made = Style(**{name: value for name, value in options.items() if name in style})
                    others = {name: value for name, value in options.items() if name not in style}
                    return build(*args, **others, style=made)
                return build(*args, **options)
        except InputError:
            raise
        except Exception as error:  # whatever Keras and its backend find out about the values
            raise InputError(
                f"{build.__name__} cannot be built with {args or ''}{options}: {first_line(error)}"
            ) from error

    checked.__signature__ = own.replace(parameters=whole)
    names = {**dict.fromkeys(options_of(checked)), **checked.__signature__.parameters}
    known = [name for name in names if name != "frame"]
    return checked


def assemble(
    body,
    *,
    name,
    input_shape=(2048, 2),
    include_top=True,
    weights=None,
    pooling=None,
    classes=1,
    classifier_activation=None,
    dropout=0.0,
    crop_edges=None,
    head_kernel_size=12,
    statistic_shortcut=0.0,
    statistic_templates=0,
    statistic_coherent=False,
):
    """Put a network together around its body.

    Args:
        body: Function of the input tensor (batch, samples, detectors) that gives features (batch, length, channels).
        name: Name of the network.
        input_shape: (samples, detectors) of the whitened strain (see `preprocess_input`); samples may be None where
            the head pools.
        include_top: Whether to add dropout and the dense layer. Without, the network ends in the features, or, with
            `pooling`, in their average or maximum over time.
        weights: None, the path of a .keras or .weights.h5 file, or the name of a saved network of the same architecture.
        pooling: "avg" (also the default of the head), "max", or "logsumexp", of the head alone: each stretch of
            `head_kernel_size` features gives a logit of its own, that of a signal just there, and their log-sum-exp is
            that of a signal anywhere in the window. What a search ranks are the logits of the stretches: an average over
            the window would dilute the signal with all the noise around it.
        classes: Number of outputs.
        classifier_activation: Of the last layer; None gives the logit, which is the better ranking statistic.
        dropout: Share of the pooled features dropped in training.
        crop_edges: Drop the features that saw the zero padding at the window's edges before pooling: what remains
            depends on the strain alone, so that long strain can be scanned exactly. None: where some remain.
        head_kernel_size: Features that a head with pooling "logsumexp" looks at together.
        statistic_shortcut: Weight with which what a stem of templates with `coincidence` computes is added to the logits of
            such a head; see `shortcut.with_shortcut`. 0: not.
        statistic_templates: How many templates of its own that shortcut has, tried every 4 samples, which `train.py
            --statistic-templates` fills; 0: those of the stem.
        statistic_coherent: Whether these join H1 and L1 by their phases.

    Returns:
        A `keras.Model` from `strain` (batch, samples, detectors) to `score` (batch, classes).

    Raises:
        InputError: Options out of range, an input too short for the network, weights of another architecture.
    """
    require_counts(classes=classes, head_kernel_size=head_kernel_size)
    require_share(dropout=dropout)
    require_flags(include_top=include_top, crop_edges=crop_edges)
    require_known(activations, classifier_activation=classifier_activation)
    require_shape(input_shape)
    if pooling not in (None, "logsumexp", *POOLINGS):
        raise InputError(f"pooling={pooling!r}; expected None, 'avg', 'max' or 'logsumexp'")
    if pooling == "logsumexp" and not include_top:
        raise InputError(
            "pooling='logsumexp' pools the logits of the head; without the head expected None, 'avg' or 'max'"
        )
    if weights is not None:
        weights = find_weights(weights)
    inputs = keras.Input(tuple(input_shape), name="strain")
    x = body(inputs)
    _require_length(inputs, x)
    if include_top or pooling:
        x = _crop(inputs, x, crop_edges)
        if pooling != "logsumexp":
            x = POOLINGS[pooling or "avg"](name="pool")(x)
    if include_top:
        if dropout:
            x = layers.Dropout(dropout, name="dropout")(x)
        if pooling == "logsumexp":
            x = _anywhere(x, classes, classifier_activation, head_kernel_size)
        else:
            x = layers.Dense(classes, activation=classifier_activation, dtype="float32", name="score")(x)
    model = keras.Model(inputs, x, name=name)
    if statistic_shortcut:
        model = with_shortcut(model, statistic_shortcut, statistic_templates, statistic_coherent)
    elif statistic_templates or statistic_coherent:
        option = f"statistic_templates={statistic_templates}" if statistic_templates else "statistic_coherent=True"
        raise InputError(f"{option}: is of a shortcut; give statistic_shortcut too, for example 1")
    if weights is not None:
        take_weights(model, weights)
    return model


def _anywhere(features, classes, activation, kernel_size):
    """Return the logit of a signal anywhere: the log-sum-exp of those of a signal at each place."""
    length = features.shape[1]
    if length is not None and length < kernel_size:
        raise InputError(
            f"head_kernel_size={kernel_size}: there are {length} features; expected at most as many, or a longer input"
        )
    # So that the sum begins near zero.
    places = initializers.Constant(-math.log(length - kernel_size + 1) if length else 0.0)
    logit = layers.Conv1D(classes, kernel_size, bias_initializer=places, dtype="float32", name="score")(features)
    return anywhere(logit, activation)


def require_shape(input_shape):
    """Raise InputError unless this is (samples, detectors), samples a positive whole number or None."""
    shape = input_shape if isinstance(input_shape, list | tuple) else ()
    sizes = [operator.index(size) for size in shape if hasattr(size, "__index__")]
    if len(shape) != 2 or shape[1] is None or len(sizes) < 2 - (shape[0] is None) or min(sizes) < 1:
        raise InputError(f"input_shape={input_shape!r}; expected (samples, detectors)")


def _require_length(inputs, features):
    try:
        stride = receptive_field(inputs, features).stride
    except ValueError:  # networks that flatten check their length themselves
        return
    if inputs.shape[1] is not None and inputs.shape[1] < stride:
        raise InputError(
            f"input of {inputs.shape[1]} samples is too short for the strides of this network; "
            f"expected at least {stride} samples"
        )


def _crop(inputs, features, crop_edges):
    if crop_edges is False:
        return features
    field, samples, length = receptive_field(inputs, features), inputs.shape[1], features.shape[1]
    if not field.local:
        return features
    left, right = field.padded_features
    if crop_edges is None and left + right >= (length or USUAL_SAMPLES // field.stride):
        return features
    if length is not None and left + right >= length:
        raise InputError(
            f"input of {samples} samples is too short for this network: every feature sees its edges; "
            f"expected at least {(left + right + 1) * field.stride} samples, or crop_edges=False"
        )
    return layers.Cropping1D((left, right), name="crop_edges")(features)
