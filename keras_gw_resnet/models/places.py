"""Heads that give a logit at each place and join them by log-sum-exp."""

from keras import layers, ops


def anywhere(logit, activation=None):
    """Return the logit of a signal anywhere, through an activation: the log-sum-exp of those at each place (batch, places, classes)."""
    score = named(ops.logsumexp(logit, axis=1), "anywhere")
    return layers.Activation(activation, dtype="float32", name="activation")(score) if activation else score


def named(tensor, name):
    """Name the operation that a tensor comes from: the names that Keras counts up may be taken in a network that was loaded."""
    tensor._keras_history.operation.name = name
    return tensor


def _last(model):
    """Return the operation that a network ends in, an activation passed over."""
    operation = model.outputs[0]._keras_history.operation
    return operation.input._keras_history.operation if isinstance(operation, layers.Activation) else operation


def pools_places(model):
    """Say whether a network ends in the log-sum-exp of logits."""
    return type(_last(model)).__name__ == "Logsumexp"


def places_of(model):
    """Return the convolution that gives the logits whose log-sum-exp a network ends in, None for any other network.

    A network that ends in that convolution itself, as the members of an ensemble do, has one too.
    """
    operation = _last(model)
    if pools_places(model):
        operation = operation.input._keras_history.operation
    own = isinstance(operation, layers.Conv1D) and operation.strides == (1,) and operation.padding == "valid"
    return operation if own else None
