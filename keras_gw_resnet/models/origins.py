"""Which detectors what a network works out depends on, read off its graph."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from keras import layers

from keras_gw_resnet.models.graph import is_linear
from keras_gw_resnet.models.matched_filter import PRECISION
from keras_gw_resnet.models.nodes import nodes_in_order

if TYPE_CHECKING:
    from collections.abc import Iterable

    import keras

# What copies values from one place to another, or costs as little.
COPIES = ("GetItem", "Concatenate", "Cropping1D", "ZeroPadding1D", "ReLU")


class Origins:
    """Which detectors each tensor of a network depends on.

    Args:
        model: Functional `keras.Model` of strain (batch, samples, detectors).

    Attributes:
        columns: Of each detector the tensor (batch, samples, 1) that is its strain; fewer where the network nowhere takes it out.
    """

    def __init__(self, model: keras.Model) -> None:
        (strain,), detectors = model.inputs, range(model.input_shape[-1])
        self._whose, self._nodes, self._readers, found = {id(strain): frozenset(detectors)}, {}, Counter(), {}
        for node in nodes_in_order(model):
            own = frozenset().union(*(self._whose[id(tensor)] for tensor in node.input_tensors))
            if type(node.operation).__name__ == "GetItem" and node.input_tensors[0] is strain:
                taken = node.arguments.args[1][-1]
                chosen = detectors[taken] if isinstance(taken, slice) else detectors
                if len(chosen) == 1:
                    own = frozenset(chosen)
                    found[chosen[0]] = node.output_tensors[0]
            for tensor in node.output_tensors:
                self._whose[id(tensor)], self._nodes[id(tensor)] = own, node
            self._readers.update(id(tensor) for tensor in node.input_tensors)
        self.columns = [found[detector] for detector in sorted(found)]

    def detector(self, tensor: keras.KerasTensor) -> int | None:
        """Return the number of the one detector that a tensor depends on; None: on several."""
        own = self._whose[id(tensor)]
        return min(own) if len(own) == 1 else None

    def before_copies(self, tensor: keras.KerasTensor) -> list:
        """Return the tensors that the values of this one are copied from."""
        node = self._nodes[id(tensor)]
        if type(node.operation).__name__ not in COPIES or any(tensor is column for column in self.columns):
            return [tensor]
        return [source for copied in node.input_tensors for source in self.before_copies(copied)]

    def needed(self, outputs: Iterable, given: Iterable = ()) -> list:
        """Return what tensors are worked out from: given ones, and those of one detector alone, the last before they are copied.

        Args:
            outputs: Tensors.
            given: Tensors that are known.

        Returns:
            List of tensors, each once.
        """
        known, found, seen, todo = {id(tensor) for tensor in given}, {}, set(), list(outputs)
        while todo:
            tensor = todo.pop()
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            if id(tensor) in known:
                found[id(tensor)] = tensor
            elif self.detector(tensor) is not None:
                found.update((id(source), source) for source in self.before_copies(tensor))
            else:
                todo += self._nodes[id(tensor)].input_tensors
        return list(found.values())

    def mixing(self) -> tuple[keras.Layer, keras.Layer | None, list] | None:
        """Return the convolution of kernel size 1 that mixes what each detector gave; None: there is none.

        Returns:
            Tuple (convolution, the batch norm before it or None, the tensors beside each other that it takes).
        """
        for node in self._nodes.values():
            convolution, source, norm = node.operation, node.input_tensors[0], None
            pointwise = type(convolution) is layers.Conv1D and convolution.kernel_size == convolution.strides == (1,)
            if not pointwise or not is_linear(convolution) or convolution.compute_dtype != PRECISION:
                continue
            before = self._nodes.get(id(source))
            if before and isinstance(before.operation, layers.BatchNormalization) and self._readers[id(source)] == 1:
                norm, source = before.operation, before.input_tensors[0]
                before = self._nodes.get(id(source))
            together = before and isinstance(before.operation, layers.Concatenate) and self.detector(source) is None
            if together and self._readers[id(source)] == 1:
                parts = list(before.input_tensors)
                if any(self.detector(tensor) is not None for tensor in parts):
                    return convolution, norm, parts
        return None
