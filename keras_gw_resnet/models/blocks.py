"""Building blocks that the families share: tensor in, tensor out. Built-in Keras layers only."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from keras import initializers, layers

from keras_gw_resnet.errors import InputError

if TYPE_CHECKING:
    import keras

    from keras_gw_resnet.models.front import Front
    from keras_gw_resnet.models.receptive import ReceptiveField

# Keras' default of 0.99 leaves the moving statistics, and with them every validation, far behind in short runs.
BATCH_NORM_MOMENTUM = 0.9
NORMALIZATIONS = ("batch", "group")
# oneDNN, without AVX-512, gives wrong gradients of convolutions of kernel 1 with a stride over fewer channels than it computes at once
# (TensorFlow 2.21, 2 to 7 channels).
AT_ONCE = 8


@dataclass(frozen=True)
class Kernel:
    """Size and dilation of the convolutions of a stage."""

    size: int
    dilation: int = 1


@dataclass(frozen=True)
class Style:
    """How the convolutions of a network are made.

    Attributes:
        kernel_size: Of the convolutions in the blocks; one number, or one for each stage.
        normalization: "batch", or "group": group norm looks at the whole window, so that a network with it cannot
            be slid over strain exactly, but does not depend on the batch.
        kernel_initializer: Keras initializer of the convolutions, for example "he_normal" or "glorot_uniform".
        stochastic_depth: Share of the blocks' branches dropped in training, rising linearly from 0 at the first
            block to this at the last (arXiv 1603.09382).
        dilation_rate: Step between the samples that the convolutions in the blocks see, those with a stride left out; one
            number, or one for each stage (arXiv 1511.07122): a longer reach at the same cost.
    """

    kernel_size: int | tuple = 3
    normalization: str = "batch"
    kernel_initializer: str = "he_normal"
    stochastic_depth: float = 0.0
    dilation_rate: int | tuple = 1

    def __post_init__(self):
        if self.normalization not in NORMALIZATIONS:
            raise InputError(f"normalization={self.normalization!r}; expected one of {', '.join(NORMALIZATIONS)}")
        require_share(stochastic_depth=self.stochastic_depth)
        require_known(initializers, kernel_initializer=self.kernel_initializer)

    def kernels(self, stages: int) -> list[Kernel]:
        """Return the Kernel of each stage.

        Raises:
            InputError: Kernel sizes or dilation rates whose number is not that of the stages.
        """
        both = self._each("kernel_size", stages), self._each("dilation_rate", stages)
        return [Kernel(*pair) for pair in zip(*both, strict=True)]

    def _each(self, name, stages):
        value = getattr(self, name)
        values = list(value) if isinstance(value, list | tuple) else [value] * stages
        if len(values) != stages or any(not is_count(own) for own in values):
            raise InputError(f"{name}={value}; expected one number or {stages}, one for each stage, at least 1")
        return values

    def conv(
        self,
        x: keras.KerasTensor,
        filters: int,
        kernel_size: int | Kernel,
        *,
        strides: int = 1,
        use_bias: bool = False,
        name: str,
        **options,
    ) -> keras.KerasTensor:
        """Apply a convolution to x of shape (batch, samples, channels); `kernel_size` is a number or a Kernel."""
        kernel = kernel_size if isinstance(kernel_size, Kernel) else Kernel(kernel_size)
        usual = {
            "padding": "same",
            "kernel_initializer": self.kernel_initializer,
            # Keras has no convolution with both a stride and a dilation.
            "dilation_rate": kernel.dilation if strides == 1 else 1,
        }
        if kernel.size == 1 and strides > 1 and x.shape[-1] < AT_ONCE:
            x, strides = layers.AveragePooling1D(1, strides, padding="valid", name=f"{name}_every")(x), 1
        return layers.Conv1D(
            filters, kernel.size, strides=strides, use_bias=use_bias, **{**usual, **options}, name=name
        )(x)

    def norm(self, x: keras.KerasTensor, *, name: str, gamma_initializer: str = "ones") -> keras.KerasTensor:
        """Normalise x."""
        if self.normalization == "group":
            groups = math.gcd(x.shape[-1], 16)
            return layers.GroupNormalization(groups, gamma_initializer=gamma_initializer, name=name)(x)
        return layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, gamma_initializer=gamma_initializer, name=name)(
            x
        )

    def conv_norm(
        self,
        x: keras.KerasTensor,
        filters: int,
        kernel_size: int | Kernel,
        *,
        strides: int = 1,
        activation: str | None = "relu",
        gamma_initializer: str = "ones",
        name: str,
    ) -> keras.KerasTensor:
        """Apply convolution, norm and activation."""
        x = self.conv(x, filters, kernel_size, strides=strides, name=name)
        x = self.norm(x, name=f"{name}_norm", gamma_initializer=gamma_initializer)
        return layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x

    def norm_conv(
        self, x: keras.KerasTensor, filters: int, kernel_size: int | Kernel, *, strides: int = 1, name: str, **options
    ) -> keras.KerasTensor:
        """Apply norm, ReLU and convolution: the pre-activation order (arXiv 1603.05027)."""
        x = layers.Activation("relu", name=f"{name}_relu")(self.norm(x, name=f"{name}_norm"))
        return self.conv(x, filters, kernel_size, strides=strides, name=name, **options)

    def drop_branch(self, y: keras.KerasTensor, position: float, *, name: str) -> keras.KerasTensor:
        """Drop the branch of whole examples in training; `position` runs from 0 (first block) to 1 (last)."""
        rate = self.stochastic_depth * position
        return layers.Dropout(rate, noise_shape=(None, 1, 1), name=f"{name}_drop")(y) if rate else y

    def stem(
        self, x: keras.KerasTensor, filters: int, kernel_size: int, front: Front | None = None
    ) -> keras.KerasTensor:
        """Shorten the strain fourfold: convolution of stride 2, norm, ReLU, max-pool of stride 2; mix what a front with templates gives."""
        if front and front.templates:
            return self.conv_norm(self.norm(x, name="snr_norm"), front.templates, 1, name="stem_conv")
        x = self.conv_norm(x, filters, kernel_size, strides=2, name="stem_conv")
        return layers.MaxPooling1D(3, strides=2, padding="same", name="stem_pool")(x)

    def reach(self, field: ReceptiveField, *kernel_sizes: int | Kernel, strides: int = 1) -> ReceptiveField:
        """Return the ReceptiveField behind convolutions and their norms, the first of them with a stride."""
        for size in kernel_sizes:
            kernel = size if isinstance(size, Kernel) else Kernel(size)
            field = field.through(kernel.size, strides, dilation=kernel.dilation if strides == 1 else 1)
            strides = 1
        return replace(field, local=field.local and self.normalization != "group")

    def stem_reach(self, field: ReceptiveField, kernel_size: int, front: Front | None = None) -> ReceptiveField:
        """Return the ReceptiveField behind `stem`."""
        if front and front.templates:
            return self.reach(field, 1)
        return self.reach(field, kernel_size, strides=2).through(3, 2)

    def shortcut(self, x: keras.KerasTensor, filters: int, strides: int, *, name: str) -> keras.KerasTensor:
        """Return x, or its projection where channels or length change."""
        if x.shape[-1] == filters and strides == 1:
            return x
        return self.conv_norm(x, filters, 1, strides=strides, activation=None, name=f"{name}_shortcut")


def stage_strides(stages: int, front: Front) -> list[int]:
    """Return the stride of each stage: each behind the first halves the length, which templates have halved before."""
    return [2 if stage > (1 if front.templates else 0) else 1 for stage in range(stages)]


def is_count(value: object) -> bool:
    """Say whether this is a whole number of at least 1."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= 1


def require_flags(**flags) -> None:
    """Raise InputError when one of the named values is neither True, False nor None."""
    for name, value in flags.items():
        if value is not None and not isinstance(value, bool):
            raise InputError(f"{name}={value!r}; expected True or False")


def require_share(**shares) -> None:
    """Raise InputError when one of the named numbers is no share from 0 to below 1."""
    for name, value in shares.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < 1:
            raise InputError(f"{name}={value}; expected a share from 0 to below 1")


def positions_of(block_counts: Sequence[int]) -> list[list[float]]:
    """Return for each stage where its blocks stand in the whole network: from above 0 to 1 at the last block."""
    total = sum(block_counts)
    numbers = iter(range(1, total + 1))
    return [[next(numbers) / total for _ in range(count)] for count in block_counts]


def require_known(kind: Any, **values) -> None:
    """Raise InputError when Keras knows no such initializer, activation, ...; `kind` is its module."""
    for name, value in values.items():
        try:
            kind.get(value)
        except (ValueError, TypeError):
            raise InputError(f"{name}={value!r}; expected a name from keras.{kind.__name__.split('.')[-1]}") from None


def require_counts(**counts) -> None:
    """Raise InputError when one of the named numbers, or one in a named sequence of them, is below 1."""
    for name, value in counts.items():
        values = list(value) if isinstance(value, list | tuple) else [value]
        if not values or any(not is_count(v) for v in values):
            raise InputError(f"{name}={value}; expected whole numbers of at least 1")
