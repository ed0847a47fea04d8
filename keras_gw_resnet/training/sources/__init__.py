"""What a training reads: noise, waveforms, labelled windows, and the kinds of `datasets.negatives`, each opened and split by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from keras_gw_resnet.training.config import TrainingConfig


class Source(Protocol):
    """What every source does."""

    @classmethod
    def open(cls, config: TrainingConfig) -> Source:
        """Read it from its part of a TrainingConfig."""
        ...

    def split(self, share: float) -> tuple:
        """Return what is trained on, and that share of it that is held out."""
        ...

    def fingerprint(self, kept: Any, held_out: Any, /) -> dict:
        """Return what the card of a network says of these two parts."""
        ...
