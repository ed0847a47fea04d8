"""Heads: features, and the ranking statistic where there is one, in; the score of the window out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keras import activations, initializers, layers, ops

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.blocks import require_counts, require_flags, require_known, require_share
from keras_gw_resnet.models.front import JOIN_LAYER
from keras_gw_resnet.models.matched_filter import PRECISION
from keras_gw_resnet.models.ranking import LIGHT_SCORE, RANKED_POOLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

    from keras_gw_resnet.models.receptive import ReceptiveField

# Of what the stack says of a position, what counts for light binaries.
STACK_SHARE = 0.4
# Where the number of samples is left open, the edges are cropped if features remain of a window of this length.
USUAL_SAMPLES = 2048
# By pooling: (what `parts.Parts.head` says of it, the layer that pools the features; None: the logits of positions are pooled).
POOLINGS = {
    None: ("average", layers.GlobalAveragePooling1D),
    "avg": ("average", layers.GlobalAveragePooling1D),
    "max": ("other", layers.GlobalMaxPooling1D),
    "logsumexp": ("positions", None),
}


@dataclass(frozen=True, kw_only=True)
class Head:
    """Options of the head.

    Attributes:
        include_top: Whether to add dropout and the dense layer. Without, the network ends in the features, or, with
            `pooling`, in their average or maximum over time.
        pooling: "avg" (also the default of the head), "max", or "logsumexp", of the head alone: each run of
            `head_kernel_size` features gives a logit of its own, that of a signal just there, and their log-sum-exp is
            that of a signal anywhere in the window. What a search ranks are the logits of these positions: an average over
            the window would dilute the signal with all the noise around it.
        classes: Number of outputs.
        classifier_activation: Of the last layer; None gives the logit, which is the better ranking statistic.
        dropout: Share of the pooled features dropped in training.
        crop_edges: Drop the features that saw the zero padding at the window's edges before pooling: what remains
            depends on the strain alone, so that long strain can be scanned exactly. None: where some remain.
        head_kernel_size: Features that a head with pooling "logsumexp" looks at together.
    """

    include_top: bool = True
    pooling: str | None = None
    classes: int = 1
    classifier_activation: str | None = None
    dropout: float = 0.0
    crop_edges: bool | None = None
    head_kernel_size: int = 12

    def __post_init__(self):
        require_counts(classes=self.classes, head_kernel_size=self.head_kernel_size)
        require_share(dropout=self.dropout)
        require_flags(include_top=self.include_top, crop_edges=self.crop_edges)
        require_known(activations, classifier_activation=self.classifier_activation)
        if self.pooling not in POOLINGS:
            *most, last = map(repr, POOLINGS)
            raise InputError(f"pooling={self.pooling!r}; expected {', '.join(most)} or {last}")
        if self.positions and not self.include_top:
            raise InputError(
                "pooling='logsumexp' pools the logits of the head; without the head expected None, 'avg' or 'max'"
            )

    @property
    def positions(self) -> bool:
        """Whether the head gives a logit at each position."""
        return POOLINGS[self.pooling][0] == "positions"

    @property
    def takes_features(self) -> bool:
        """Whether there is a head, or at least a pooling."""
        return self.include_top or self.pooling is not None

    def kind(self) -> tuple[str, str | None]:
        """Return (kind, name of the layer that takes the features); see `parts.Parts`."""
        kind, pool = POOLINGS[self.pooling]
        layer = "pool" if pool else "score"
        return (kind if self.include_top else "other"), (layer if self.takes_features else None)

    def cropping(self, field: ReceptiveField | None, samples: int | None) -> tuple[int, int]:
        """Return how many features to drop at the left and the right edge, those that saw its padding.

        Args:
            field: ReceptiveField of the features; None: not known.
            samples: Of the input; None: any number.

        Raises:
            InputError: None would remain.
        """
        if not self.takes_features or self.crop_edges is False or field is None or not field.local:
            return 0, 0
        left, right = field.padded_features
        length = field.features_of(samples or USUAL_SAMPLES)
        if left + right < length or (self.crop_edges and samples is None):
            return left, right
        if self.crop_edges is None:
            return 0, 0
        raise InputError(
            f"input of {samples} samples is too short for this network: every feature sees its edges; "
            f"expected at least {(left + right + 1) * field.stride} samples, or crop_edges=False"
        )

    def __call__(
        self,
        features: keras.KerasTensor,
        cropping: tuple[int, int],
        statistic: Sequence[keras.KerasTensor] = (),
        weight: float = 0.0,
        tap: int = 0,
    ) -> keras.KerasTensor:
        """Apply the head.

        Args:
            features: Tensor (batch, length, channels).
            cropping: Features to drop at the left and the right edge.
            statistic: What is ranked, some (batch, length, 1), of the first of which `weight` times the value at the feature `tap` of each
                position is added to its logit; of the second, that of light binaries, see `with_light`. Empty: nothing is ranked.
            weight, tap: See there.

        Returns:
            Tensor (batch, classes), or what remains without the last layers.
        """
        if not self.takes_features:
            return features
        precise = {"dtype": PRECISION} if statistic else {}
        x = layers.Concatenate(name=JOIN_LAYER, **precise)([features, statistic[0]]) if statistic else features
        if any(cropping):
            x = layers.Cropping1D(tuple(cropping), name="crop_edges", **precise)(x)
        _, pool = POOLINGS[self.pooling]
        if pool:
            x = pool(name="pool")(x)
        if self.dropout and self.include_top:
            x = layers.Dropout(self.dropout, name="dropout", **precise)(x)
        if self.positions:
            logits = self._logits(x, (weight, tap) if statistic else None)
            if statistic[1:]:
                after = self.head_kernel_size - 1 - tap
                logits = with_light(logits, statistic, (cropping[0] + tap, cropping[1] + after), weight)
            return anywhere(logits, self.classifier_activation)
        if self.include_top:
            x = layers.Dense(self.classes, activation=self.classifier_activation, dtype="float32", name="score")(x)
        return x

    def _logits(self, features, ranked):
        length, kernel_size = features.shape[1], self.head_kernel_size
        if length is not None and length < kernel_size:
            raise InputError(
                f"head_kernel_size={kernel_size}: there are {length} features; expected at most as many, or a longer input"
            )
        # So that the sum begins near zero.
        bias = initializers.Constant(-math.log(length - kernel_size + 1) if length else 0.0)
        score = layers.Conv1D(self.classes, kernel_size, bias_initializer=bias, dtype="float32", name="score")
        logits = score(features)
        if ranked:
            weight, tap = ranked
            kernel, bias = score.get_weights()
            kernel[:, -1], kernel[tap, -1] = 0, weight
            score.set_weights([kernel, bias])
        return logits


def with_light(
    logits: keras.KerasTensor, statistic: Sequence[keras.KerasTensor], cropping: tuple[int, int], weight: float
) -> keras.KerasTensor:
    """Return the logit that a signal is there, heavy or light: the log-sum-exp of the evidence of both classes.

    The stack has learnt from heavy binaries above all, and takes a light one for noise. So of what it says of a position `STACK_SHARE` counts for light
    ones, and the rest is a constant, the bias of `LIGHT_SCORE`: see `training.light.weigh_light`.

    Args:
        logits: Of each position, (batch, positions, 1): what the stack says and `weight` times what is ranked of heavy binaries.
        statistic: What is ranked of heavy and of light binaries, each (batch, length, 1).
        cropping: Features of the statistic before the first position's, and after the last one's.
        weight: Of the statistic.
    """
    crops = [layers.Cropping1D(cropping, dtype=PRECISION, name=f"{name}_at_positions") for name in RANKED_POOLS]
    given = [logits, *(crop(own) for crop, own in zip(crops, statistic, strict=True))]
    light = layers.Conv1D(1, 1, dtype=PRECISION, trainable=False, name=LIGHT_SCORE)
    evidence = light(layers.Concatenate(dtype=PRECISION, name=f"{LIGHT_SCORE}_of")(given))
    kernel, bias = light.get_weights()
    kernel[0, :, 0] = STACK_SHARE, -STACK_SHARE * weight, weight
    light.set_weights([kernel, bias])
    both = layers.Concatenate(dtype=PRECISION, name=f"{LIGHT_SCORE}_and_score")([logits, evidence])
    return ops.logsumexp(both, axis=-1, keepdims=True)


def anywhere(logits: keras.KerasTensor, activation: str | None = None) -> keras.KerasTensor:
    """Return the logit of a signal anywhere, through an activation: the log-sum-exp of those at each position, (batch, positions, classes)."""
    score = ops.logsumexp(logits, axis=1)
    return layers.Activation(activation, dtype="float32", name="activation")(score) if activation else score


def shift_logits(model: keras.Model, shift: float) -> None:
    """Add a number to the logit of every position of a network built here, and so to its score."""
    kernel, bias = model.get_layer("score").get_weights()
    model.get_layer("score").set_weights([kernel, bias + shift])
    for light in (layer for layer in model.layers if layer.name == LIGHT_SCORE):
        kernel, bias = light.get_weights()
        # Its share of what was added to the logits that it takes it has already.
        light.set_weights([kernel, bias + (1 - kernel[0, 0, 0]) * shift])
