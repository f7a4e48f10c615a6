"""What handlers find in their application."""

from __future__ import annotations

from aiohttp import web

from control.api.wire.rendered import Rendered
from control.changes.changes import Changes
from control.publish.publisher import Publisher
from control.reconcile.reconciler import Reconciler
from router.process.tokens import Tokens

CHANGES = web.AppKey("changes", Changes)
PUBLISHER = web.AppKey("publisher", Publisher)
RECONCILER = web.AppKey("reconciler", Reconciler)
TOKENS = web.AppKey("tokens", Tokens)
RENDERED = web.AppKey("rendered", Rendered)
