"""What handlers find in their application."""

from __future__ import annotations

from aiohttp import web

from control.api.rendered import Rendered
from control.publisher import Publisher
from control.reconciler import Reconciler
from control.service import Service
from router.tokens import Tokens

SERVICE = web.AppKey("service", Service)
PUBLISHER = web.AppKey("publisher", Publisher)
RECONCILER = web.AppKey("reconciler", Reconciler)
TOKENS = web.AppKey("tokens", Tokens)
RENDERED = web.AppKey("rendered", Rendered)
