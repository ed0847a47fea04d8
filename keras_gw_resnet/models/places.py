"""Heads that give a logit at each place and join them by log-sum-exp."""

from keras import layers


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
