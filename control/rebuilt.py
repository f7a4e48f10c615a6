"""Whether an image is another by now than the one that a revision was made of."""

from __future__ import annotations

from control.base import base_of
from control.resources import AppView
from control.runtime import Runtimes


async def rebuilt(view: AppView, runtimes: Runtimes) -> frozenset[str]:
    """The revisions that a deploy may repeat and whose images were built anew under their tags."""
    if view.app is None:
        return frozenset()
    found = set()
    repeated = {r.name: r for r in (base_of(view), view.revisions.get(view.app.latest)) if r}
    for revision in repeated.values():
        if not revision.images:
            continue
        now = await runtimes[revision.template.runtime].images(revision.template)
        if any(now.get(image, "") not in ("", was) for image, was in revision.images.items()):
            found.add(revision.name)
    return frozenset(found)
