"""Stem, residual blocks and head: tensor in, tensor out. Built-in Keras layers only."""

from keras import layers

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.receptive import receptive_field

# Keras' default of 0.99 leaves the moving statistics, and with them every validation, far behind in short runs.
BATCH_NORM_MOMENTUM = 0.9


def conv_norm(x, filters, kernel_size, *, strides=1, activation="relu", kernel_initializer="he_normal", name):
    """Apply convolution, batch norm and activation to x of shape (batch, samples, channels)."""
    x = layers.Conv1D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=kernel_initializer,
        name=name,
    )(x)
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")(x)
    return layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x


def stem(x, filters, *, kernel_size, kernel_initializer):
    """Shorten the input fourfold: convolution of stride 2, batch norm, ReLU, max-pool of stride 2."""
    x = conv_norm(x, filters, kernel_size, strides=2, kernel_initializer=kernel_initializer, name="stem_conv")
    return layers.MaxPooling1D(3, strides=2, padding="same", name="stem_pool")(x)


def _shortcut(x, filters, strides, kernel_initializer, name):
    if x.shape[-1] == filters and strides == 1:
        return x
    return conv_norm(
        x,
        filters,
        1,
        strides=strides,
        activation=None,
        kernel_initializer=kernel_initializer,
        name=f"{name}_shortcut",
    )


def basic_block(x, filters, *, kernel_size, strides, kernel_initializer, name):
    """Add two convolutions of `filters` channels to the shortcut (arXiv 1512.03385, fig. 5 left)."""
    options = {"kernel_initializer": kernel_initializer}
    y = conv_norm(x, filters, kernel_size, strides=strides, name=f"{name}_conv1", **options)
    y = conv_norm(y, filters, kernel_size, activation=None, name=f"{name}_conv2", **options)
    y = layers.Add(name=f"{name}_add")([_shortcut(x, filters, strides, kernel_initializer, name), y])
    return layers.Activation("relu", name=f"{name}_out")(y)


def bottleneck_block(x, filters, *, kernel_size, strides, kernel_initializer, name):
    """Add a 1, k, 1 convolution sequence ending in 4 * `filters` channels (arXiv 1512.03385, fig. 5 right).

    The stride sits on the middle convolution, so that no sample is skipped unseen.
    """
    options = {"kernel_initializer": kernel_initializer}
    y = conv_norm(x, filters, 1, name=f"{name}_conv1", **options)
    y = conv_norm(y, filters, kernel_size, strides=strides, name=f"{name}_conv2", **options)
    y = conv_norm(y, 4 * filters, 1, activation=None, name=f"{name}_conv3", **options)
    y = layers.Add(name=f"{name}_add")([_shortcut(x, 4 * filters, strides, kernel_initializer, name), y])
    return layers.Activation("relu", name=f"{name}_out")(y)


def head(x, inputs, *, classes, classifier_activation, dropout, crop_edges):
    """Average the features over time and classify.

    With `crop_edges`, features that have seen the zero padding at the window's edges are dropped before the
    average: what remains depends on the strain alone, so that a window cut from a long stretch of strain and
    the stretch itself give the same features, to rounding.

    Raises:
        InputError: The input is so short that no feature would remain.
    """
    if crop_edges:
        field = receptive_field(inputs, x)
        left, right = field.padded_features
        length = x.shape[1]
        if length is not None and left + right >= length:
            raise InputError(
                f"input of {inputs.shape[1]} samples is too short for this network: every feature sees its edges; "
                f"expected at least {(left + right + 1) * field.stride} samples, or crop_edges=False"
            )
        x = layers.Cropping1D((left, right), name="crop_edges")(x)
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(classes, activation=classifier_activation, dtype="float32", name="score")(x)
