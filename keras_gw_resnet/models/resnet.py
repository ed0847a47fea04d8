"""Residual networks for strain (He et al. 2015, arXiv 1512.03385), one-dimensional: the family is the table."""

import keras

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models import blocks

BLOCK_COUNTS = {
    16: ("basic", (2, 2, 2, 1)),
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
BLOCKS = {"basic": blocks.basic_block, "bottleneck": blocks.bottleneck_block}


def ResNet(
    block_counts,
    block="basic",
    *,
    input_shape=(2048, 2),
    classes=1,
    classifier_activation=None,
    width=64,
    kernel_size=3,
    stem_kernel_size=15,
    dropout=0.0,
    kernel_initializer="he_normal",
    crop_edges=True,
    name="resnet",
):
    """Build a residual network of any depth.

    The stages double the channels and halve the length, as in the source; what differs from it is the first
    convolution (longer, for strain), the one dimension, and `crop_edges`.

    Args:
        block_counts: Residual blocks of each stage.
        block: "basic" (two convolutions) or "bottleneck" (three, ending in four times the channels).
        input_shape: (samples, detectors) of the whitened strain; samples may be None.
        classes: Number of outputs.
        classifier_activation: None gives the logit, which is the better ranking statistic.
        width: Channels of the first stage.
        kernel_size: Of the convolutions in the blocks; one number, or one for each stage.
        stem_kernel_size: Of the first convolution.
        dropout: Share of the pooled features dropped in training.
        kernel_initializer: Keras initializer of the convolutions.
        crop_edges: Drop the features that saw zero padding before the average over time. Long strain can then
            be scanned exactly.
        name: Name of the network.

    Returns:
        A `keras.Model` from `strain` (batch, samples, detectors) to `score` (batch, classes).

    Raises:
        InputError: Unknown block, classes or width below one, kernel sizes that do not match the stages, or an
            input too short for the network.
    """
    if block not in BLOCKS:
        raise InputError(f"block={block!r}; expected one of {', '.join(map(repr, BLOCKS))}")
    if classes < 1 or width < 1 or not block_counts or min(block_counts) < 1:
        raise InputError(f"classes={classes}, width={width}, block_counts={block_counts}; expected all at least 1")
    if not 0 <= dropout < 1:
        raise InputError(f"dropout={dropout}; expected a share from 0 to below 1")
    kernel_sizes = [kernel_size] * len(block_counts) if isinstance(kernel_size, int) else list(kernel_size)
    if len(kernel_sizes) != len(block_counts):
        raise InputError(f"kernel_size={kernel_size}; expected one number or {len(block_counts)}, one for each stage")
    inputs = keras.Input(input_shape, name="strain")
    x = blocks.stem(inputs, width, kernel_size=stem_kernel_size, kernel_initializer=kernel_initializer)
    for stage, (count, size) in enumerate(zip(block_counts, kernel_sizes, strict=True)):
        for index in range(count):
            x = BLOCKS[block](
                x,
                width * 2**stage,
                kernel_size=size,
                strides=2 if stage > 0 and index == 0 else 1,
                kernel_initializer=kernel_initializer,
                name=f"stage{stage + 1}_block{index}",
            )
    outputs = blocks.head(
        x,
        inputs,
        classes=classes,
        classifier_activation=classifier_activation,
        dropout=dropout,
        crop_edges=crop_edges,
    )
    return keras.Model(inputs, outputs, name=name)


def _of_depth(depth, options):
    block, counts = BLOCK_COUNTS[depth]
    return ResNet(counts, block, **{"name": f"resnet{depth}", **options})


def ResNet16(**options):
    """Build the 16-layer network: 7 basic blocks. Options as for `ResNet`."""
    return _of_depth(16, options)


def ResNet18(**options):
    """Build the 18-layer network: 8 basic blocks. Options as for `ResNet`."""
    return _of_depth(18, options)


def ResNet34(**options):
    """Build the 34-layer network: 16 basic blocks. Options as for `ResNet`."""
    return _of_depth(34, options)


def ResNet50(**options):
    """Build the 50-layer network: 16 bottleneck blocks. Options as for `ResNet`."""
    return _of_depth(50, options)


def ResNet101(**options):
    """Build the 101-layer network: 33 bottleneck blocks. Options as for `ResNet`."""
    return _of_depth(101, options)


def ResNet152(**options):
    """Build the 152-layer network: 50 bottleneck blocks. Options as for `ResNet`."""
    return _of_depth(152, options)
