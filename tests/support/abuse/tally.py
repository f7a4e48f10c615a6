"""What became of well-behaved requests, as figures that one process hands to another."""

from __future__ import annotations

import json
from dataclasses import dataclass, field


@dataclass
class Loss:
    """A request without its answer."""

    sent_at: float  # on the clock of `monotonic`, which all processes share
    lost_at: float
    local_port: int
    why: str


@dataclass
class Tally:
    """What became of the well-behaved requests."""

    sent: int = 0
    losses: list[Loss] = field(default_factory=list)
    foreign_bytes: int = 0
    foreign_example: str = ""
    waits_ms: list[tuple[float, float]] = field(default_factory=list)  # when sent, how long

    @property
    def worst_ms(self) -> float:
        """The longest wait."""
        return max((ms for _, ms in self.waits_ms), default=0.0)

    def add(self, other: Tally) -> None:
        """Count what others saw in."""
        self.sent += other.sent
        self.losses += other.losses
        self.foreign_bytes += other.foreign_bytes
        self.foreign_example = self.foreign_example or other.foreign_example
        self.waits_ms += other.waits_ms

    @classmethod
    def of(cls, wire: str) -> Tally:
        """As the process printed it."""
        found = json.loads(wire)
        found["losses"] = [Loss(**loss) for loss in found["losses"]]
        found["waits_ms"] = [(at, ms) for at, ms in found["waits_ms"]]
        return cls(**found)
