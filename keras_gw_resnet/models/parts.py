"""What is known of a network without looking at its graph: plain values, worked out from its description."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from keras_gw_resnet.models.front import Front
from keras_gw_resnet.models.receptive import ReceptiveField

NO_FRONT = Front()


@dataclass(frozen=True)
class Parts:
    """Front, stack and head of a network.

    Attributes:
        window_samples: Samples of its input; None: any number.
        front: Options of its matched filter.
        field: ReceptiveField of what goes into the head; None: not known, or not the same everywhere.
        cropping: Features dropped at the left and the right edge before the head.
        earlier: How many samples of what they see serve light binaries alone, before all others; a position is the middle of the rest.
        head: "positions" (a logit at each, joined by log-sum-exp), "average" (over time, and one dense layer), or "other".
        head_layer: Name of the layer that takes the features; None of a head that is not known.
        head_kernel: Features that a position takes.
        classes: Outputs.
    """

    window_samples: int | None = None
    front: Front = NO_FRONT
    field: ReceptiveField | None = None
    cropping: tuple[int, int] = (0, 0)
    earlier: int = 0
    head: str = "other"
    head_layer: str | None = None
    head_kernel: int = 1
    classes: int = 1

    @property
    def features(self) -> int | None:
        """How many features go into the head; None where that is not known."""
        if self.field is None or self.window_samples is None:
            return None
        return self.field.features_of(self.window_samples) - sum(self.cropping)

    @property
    def positions(self) -> int:
        """How many positions have a logit of their own; 1 where there is but the score of the window."""
        return self.features - self.head_kernel + 1 if self.head == "positions" and self.features else 1

    @property
    def slides(self) -> bool:
        """Whether the network can be slid over strain: its features, and what the head makes of them, are the same everywhere."""
        known = self.head in ("positions", "average") and self.field is not None and self.window_samples
        return (
            bool(known)
            and (self.head == "average" or self.classes == 1)
            and self.window_samples % self.field.stride == 0
        )

    @property
    def exact(self) -> bool:
        """Whether features are those of the window alone: local, and without those that saw beyond its edges."""
        seen = self.field.padded_features
        return self.field.local and all(c >= s for c, s in zip(self.cropping, seen, strict=True))

    @property
    def position_samples(self) -> int:
        """Length of the strain that a position takes, less what serves light binaries alone."""
        return self.field.samples - self.earlier + (self.head_kernel - 1) * self.field.stride

    def middles(self) -> list[float]:
        """Return the middle of the strain that each position takes, in samples."""
        first = self.cropping[0] * self.field.stride - self.field.left + self.earlier + self.position_samples / 2
        return [first + position * self.field.stride for position in range(self.positions)]

    @property
    def coalescence_offset(self) -> float | None:
        """Samples from the middle of a position to the coalescence that it tells, where templates say so; None without."""
        return self.front.coalescence_offset

    def to_dict(self) -> dict:
        """Return plain values for a card, what follows from the others included."""
        told = {name: getattr(self, name) for name in ("positions", "slides", "coalescence_offset")}
        return {**asdict(self), **told, "exact": self.exact if self.field else None}

    @classmethod
    def from_dict(cls, values: dict) -> Parts:
        """Return the Parts that a card holds."""
        # Cards of before light binaries do not say `earlier`.
        known: dict = {own.name: values[own.name] for own in fields(cls) if own.name in values}
        given = known["field"]
        return cls(
            **{
                **known,
                "front": Front(**known["front"]),
                "field": ReceptiveField(**given) if given else None,
                "cropping": tuple(known["cropping"]),
            }  # ty: ignore[invalid-argument-type]
        )


def completed(card: dict) -> dict:
    """Return a card with the tolerance of tests of consistency, which options leave out where it is the usual one, and all cards before it was an option."""
    parts = card.get("parts")
    front = parts.get("front") if isinstance(parts, dict) else None
    known = front.get("consistency_tolerance", 0.0) if isinstance(front, dict) else 0.0
    for options in (front, card.get("options")):
        if isinstance(options, dict) and options.get("consistency"):
            options.setdefault("consistency_tolerance", known)
    return card
