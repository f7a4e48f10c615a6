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
ENVIRONMENT = web.AppKey("environment", str)  # name of the one managed environment
TOKENS = web.AppKey("tokens", Tokens)
RENDERED = web.AppKey("rendered", Rendered)
