"""Nobody can hurt a neighbour: `python -m benchmarks.scenarios abuse`.

Abusers of every kind, one kind at a time, at a proxy with one worker, and innocents beside them
whose every answer is checked; turnout and nginx, each started afresh. A module holds what one kind
of harm is done by.
"""

from benchmarks.scenarios.abuse import answers, deadlines, ends, memory, queues, turns
from benchmarks.scenarios.abuse.site import SCENARIOS

__all__ = ["SCENARIOS", "answers", "deadlines", "ends", "memory", "queues", "turns"]
