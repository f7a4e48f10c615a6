"""Apps as the JSON of a list: rendered once per change, so that a list costs what changed."""

from __future__ import annotations

import orjson

from control.api.wire.representation import app_wire
from control.model.resources import AppView


class Rendered:
    """JSON by app; views never change, so the same view has the same JSON."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[AppView, bytes]] = {}

    def app(self, view: AppView, domain: str) -> orjson.Fragment:
        """An app's JSON, to be put into a larger document."""
        assert view.app is not None
        known = self._known.get(view.app.name)
        if known is None or known[0] is not view:
            known = self._known[view.app.name] = (view, orjson.dumps(app_wire(view, domain)))
        return orjson.Fragment(known[1])

    def keep(self, count: int) -> None:
        """Forget apps that are not shown any more, once there are more than `count` entries."""
        if len(self._known) > 2 * count + 100:
            self._known.clear()
