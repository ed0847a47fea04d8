"""How far a feature sees: arithmetic on kernels, strides and padding."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class ReceptiveField:
    """Which input samples a feature depends on: feature i sees [i * stride - left, i * stride + right].

    Attributes:
        stride: Input samples from one feature to the next.
        left, right: Samples seen before and after sample i * stride.
        local: False where a norm over the whole window makes every feature depend on all of it a little.
        lost: Samples that convolutions without padding take off the input.
    """

    stride: int = 1
    left: int = 0
    right: int = 0
    local: bool = True
    lost: int = 0

    @property
    def samples(self) -> int:
        """Width in input samples."""
        return self.left + 1 + self.right

    @property
    def padded_features(self) -> tuple[int, int]:
        """How many features at the left and at the right edge see beyond an input of a whole number of strides."""
        return -(-self.left // self.stride), -(-(self.right + 1) // self.stride) - 1

    def features_of(self, samples: int) -> int:
        """Return the number of features of an input of so many samples."""
        return -(-(samples - self.lost) // self.stride)

    def through(self, kernel: int, stride: int = 1, padding: str = "same", dilation: int = 1) -> ReceptiveField:
        """Return the field of a convolution or a pooling of features with this one."""
        reach = (kernel - 1) * dilation
        # 'same' padding of an input of a whole number of strides.
        before = max(reach + 1 - stride, 0) // 2 if padding == "same" else 0
        return replace(
            self,
            stride=self.stride * stride,
            left=self.left + before * self.stride,
            right=self.right + (reach - before) * self.stride,
            lost=self.lost + (reach * self.stride if padding == "valid" else 0),
        )

    def later(self, features: int) -> ReceptiveField:
        """Return the field of a sequence that begins so many features later; earlier where negative."""
        samples = features * self.stride
        return replace(self, left=self.left - samples, right=self.right + samples)

    def merged(self, *others: ReceptiveField) -> ReceptiveField:
        """Return the field of what sees all that these fields see.

        Raises:
            ValueError: Their strides differ.
        """
        every = (self, *others)
        if len({own.stride for own in every}) != 1:
            raise ValueError("merges features of different strides")
        return ReceptiveField(
            self.stride,
            max(own.left for own in every),
            max(own.right for own in every),
            all(own.local for own in every),
            max(own.lost for own in every),
        )
