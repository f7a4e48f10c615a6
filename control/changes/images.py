"""Whether an image is another by now than the one that a revision was made of."""

from __future__ import annotations

from dataclasses import dataclass

from control.model.resources import AppView
from control.rules.base_revision import base_of
from control.runtime import Runtimes


@dataclass(frozen=True, slots=True)
class ComparedImages:
    """Revisions whose images are others by now, and those whose images are the same.

    Of any other that is not known: no image was noted, or its engine did not answer in time.
    """

    rebuilt: frozenset[str] = frozenset()
    same: frozenset[str] = frozenset()


async def compared_images(view: AppView, runtimes: Runtimes) -> ComparedImages:
    """The revisions that a deploy may repeat, by what their images' tags mean now."""
    if view.app is None:
        return ComparedImages()
    rebuilt, same = set(), set()
    repeated = {r.name: r for r in (base_of(view), view.revisions.get(view.app.latest)) if r}
    for revision in repeated.values():
        if not revision.images:
            continue
        now = await runtimes[revision.template.runtime].images(revision.template)
        if any(now.get(image, "") not in ("", was) for image, was in revision.images.items()):
            rebuilt.add(revision.name)
        elif now == revision.images:
            same.add(revision.name)
    return ComparedImages(frozenset(rebuilt), frozenset(same))
