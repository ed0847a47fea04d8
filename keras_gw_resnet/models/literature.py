"""Networks of the literature under this zoo's conventions, to compare on equal terms.

Each docstring says what was taken from the source and what is not stated there. All take whitened strain of any number
of detectors and end in one logit by default, where the sources end in two classes with a softmax.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras import layers

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.blocks import Style, require_counts
from keras_gw_resnet.models.network import assemble, builder, require_shape
from keras_gw_resnet.models.resnet import ResNet, original_block

if TYPE_CHECKING:
    import keras

# (blocks, channels as multiples of the width, stride of the first block)
ARESGW_GROUPS = ((4, 1, 1), (3, 2, 2), (3, 4, 2), (3, 8, 2), (3, 8, 2), (3, 8, 2), (5, 4, 1), (3, 2, 1))
ARESGW_HEAD_KERNEL = 64


@builder
def AresGW54(
    *,
    width: int = 8,
    kernel_size: int = 3,
    normalization: str = "batch",
    stochastic_depth: float = 0.0,
    kernel_initializer: str = "he_normal",
    name: str = "aresgw54",
    **network,
) -> keras.Model:
    """Build the 54-layer residual network of AresGW (arXiv 2211.01520).

    From the source: 27 residual blocks of two k=3 convolutions with 1x1 shortcuts; 8 channels x 4 blocks, 16 x 3, 32 x 3,
    64 x 3, 64 x 3, 64 x 3, with stride 2 in the second convolution of the first block of the second to sixth group; 32 x 5
    after a change 64 -> 32, 16 x 3; a head convolution of 4 * width = 32 filters and kernel 64, batch norm, ReLU, and a
    1x1 convolution, here a dense layer. Not taken: the adaptive input normalisation (DAIN), which whitened strain of
    unit variance does not need. Not stated there: the initialiser; norm and ReLU stand as in arXiv 1512.03385. The
    authors' published code leaves the 1x1 shortcuts without norm; here they carry one, as all projections of this zoo
    do, and the convolutions no bias. The 54 of the name are the layers in the blocks: with head and dense layer, as
    `model_info` counts, there are 56.

    Args:
        width: Channels of the first group; 16 gives the double-width form.
        kernel_size, normalization, stochastic_depth, kernel_initializer: See `blocks.Style`; one kernel size.
        name: Name of the network.
        **network: Options of `network.assemble`; samples at least 2017.

    Returns:
        A `keras.Model` from `strain` (batch, samples, detectors) to `score` (batch, classes).
    """
    require_counts(width=width)
    style = Style(kernel_size, normalization, kernel_initializer, stochastic_depth)
    kernel, total = style.kernels(1)[0], sum(count for count, _, _ in ARESGW_GROUPS)

    def stack(inputs):
        x, done = inputs, 0
        for group, (count, multiple, strides) in enumerate(ARESGW_GROUPS):
            for index in range(count):
                done += 1
                x = original_block(
                    x,
                    [(width * multiple, kernel)] * 2,
                    1,
                    strides=strides if index == 0 else 1,
                    style=style,
                    zero_init=False,
                    position=done / total,
                    name=f"group{group + 1}_block{index}",
                )
        x = style.conv(x, 4 * width, ARESGW_HEAD_KERNEL, padding="valid", name="head_conv")
        return layers.Activation("relu", name="head_relu")(style.norm(x, name="head_norm"))

    def reach(field):
        for count, _, strides in ARESGW_GROUPS:
            for index in range(count):
                field = style.reach(style.reach(field, kernel), kernel, strides=strides if index == 0 else 1)
        return field.through(ARESGW_HEAD_KERNEL, padding="valid")

    # Five strides of two with the ends padded: one sample beyond 63 features of 32 gives the 64 that the head needs.
    _require_samples(network, 32 * (ARESGW_HEAD_KERNEL - 1) + 1, name)
    return assemble(stack, reach=reach, name=name, **{"crop_edges": False, **network})  # ty: ignore[invalid-argument-type]


def AresGW54Wide(**options) -> keras.Model:
    """Build the double-width form of `AresGW54` (arXiv 2211.01520): twice the channels everywhere."""
    return AresGW54(**{"width": 16, "name": "aresgw54-wide", **options})


def _flat_network(stack, network, name):
    """Assemble a network whose stack flattens: the features have length 1, and pooling them changes nothing."""
    shape = network.get("input_shape", (2048, 2))
    require_shape(shape)
    if shape[0] is None:
        raise InputError(f"input_shape={shape}; {name} flattens its features and needs a fixed number of samples")
    # A vector has no receptive field.
    return assemble(stack, reach=lambda field: None, name=name, **{"crop_edges": False, **network})  # ty: ignore[invalid-argument-type]


@builder
def Gabbard2018(
    *,
    width: int = 8,
    kernel_size: tuple[int, ...] = (64, 32, 32, 16, 16, 16),
    kernel_initializer: str = "glorot_uniform",
    name: str = "gabbard2018",
    **network,
) -> keras.Model:
    """Build the convolutional network of Gabbard et al. 2018 (arXiv 1712.06041, table I).

    From the source: six convolutions of 8, 8, 16, 16, 32, 32 filters, kernels 64, 32, 32, 16, 16, 16, max-pools of 8, 6, 4
    behind the second, fourth and sixth; two dense layers of 64 with dropout 0.5; ELU throughout. The source takes one
    detector at 8192 Hz; not stated there: the padding, here 'same', without which 2048 samples would be too few.

    Args:
        width: Filters of the first two convolutions; the others keep their proportion.
        kernel_size: Of the six convolutions.
        kernel_initializer: Keras initializer of the convolutions.
        name: Name of the network.
        **network: Options of `network.assemble`.

    Returns:
        A `keras.Model` from `strain` (batch, samples, detectors) to `score` (batch, classes).
    """
    require_counts(width=width)
    style = Style(kernel_size, kernel_initializer=kernel_initializer)

    def stack(inputs):
        x = inputs
        for index, size in enumerate(style.kernels(6)):
            filters = width * 2 ** (index // 2)
            x = style.conv(x, filters, size, use_bias=True, activation="elu", name=f"conv{index + 1}")
            if index % 2:
                x = layers.MaxPooling1D((8, 6, 4)[index // 2], name=f"pool{index // 2 + 1}")(x)
        x = layers.Flatten(name="flatten")(x)
        for index in range(2):
            x = layers.Dense(8 * width, activation="elu", name=f"dense{index + 1}")(x)
            x = layers.Dropout(0.5, name=f"dense{index + 1}_dropout")(x)
        return layers.Reshape((1, 8 * width), name="as_feature")(x)

    _require_samples(network, 192, name)
    return _flat_network(stack, network, name)


@builder
def GeorgeHuerta2018(
    *,
    width: int = 16,
    kernel_size: tuple[int, ...] = (16, 8, 8),
    kernel_initializer: str = "glorot_uniform",
    name: str = "george-huerta2018",
    **network,
) -> keras.Model:
    """Build the smaller Deep Filtering network of George & Huerta 2018 (arXiv 1701.00008, fig. 5).

    From the source: three convolutions of 16, 32, 64 filters with kernels 16, 8, 8 and dilations 1, 4, 4, each with a
    max-pool of 4 and ReLU; a dense layer of 64 with ReLU. The source takes one detector at 8192 Hz. Not stated there: the
    initialiser; the padding is 'valid'.

    Args:
        width: Filters of the first convolution; the others keep their proportion.
        kernel_size: Of the three convolutions.
        kernel_initializer: Keras initializer of the convolutions.
        name: Name of the network.
        **network: Options of `network.assemble`.

    Returns:
        A `keras.Model` from `strain` (batch, samples, detectors) to `score` (batch, classes).
    """
    require_counts(width=width)
    style = Style(kernel_size, kernel_initializer=kernel_initializer)

    def stack(inputs):
        x = inputs
        for index, (size, dilation) in enumerate(zip(style.kernels(3), (1, 4, 4), strict=True)):
            options: dict = {
                "use_bias": True,
                "padding": "valid",
                "dilation_rate": dilation,
                "name": f"conv{index + 1}",
            }
            x = style.conv(x, width * 2**index, size, **options)
            x = layers.MaxPooling1D(4, name=f"pool{index + 1}")(x)
            x = layers.Activation("relu", name=f"relu{index + 1}")(x)
        x = layers.Dense(4 * width, activation="relu", name="dense")(layers.Flatten(name="flatten")(x))
        return layers.Reshape((1, 4 * width), name="as_feature")(x)

    _require_samples(network, 719, name)
    return _flat_network(stack, network, name)


def _require_samples(network, least, name):
    require_shape(network.get("input_shape", (2048, 2)))
    samples = network.get("input_shape", (2048, 2))[0]
    if samples is not None and samples < least:
        raise InputError(f"input of {samples} samples is too short for {name}; expected at least {least} samples")


def Aframe(**options) -> keras.Model:
    """Build the residual network of Aframe (arXiv 2403.18661): 34 layers with group norm.

    From the source: a one-dimensional ResNet with group norm in place of batch norm, so that simulated batches do not
    leave their statistics in the network. Not stated in the article: kernel sizes and groups; here the 34-layer table, a
    first kernel of 7, 3 in the blocks, and up to 16 groups. The source takes 1.5 s of two detectors at 2048 Hz, 3072
    samples. Options as for `ResNet`.
    """
    defaults = {"name": "aframe", "normalization": "group", "stem_kernel_size": 7}
    return ResNet((3, 4, 6, 3), "basic", **{**defaults, **options})
