"""Keys under which handlers find things in their aiohttp application."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from control.api.live import Live
from control.api.wire.rendered import Rendered
from control.changes.changes import Changes
from control.console.session import Codes
from control.publish.publisher import Publisher
from control.reconcile.reconciler import Reconciler
from router.process.tokens import Tokens

CHANGES = web.AppKey("changes", Changes)
PUBLISHER = web.AppKey("publisher", Publisher)
RECONCILER = web.AppKey("reconciler", Reconciler)
TOKENS = web.AppKey("tokens", Tokens)
CODES = web.AppKey("codes", Codes)
LIVE = web.AppKey("live", Live)
STATE = web.AppKey("state", Path)
RENDERED = web.AppKey("rendered", Rendered)
