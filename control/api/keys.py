"""What handlers find in their application."""

from __future__ import annotations

from aiohttp import web

from control.publisher import Publisher
from control.reconciler import Reconciler
from control.service import Service

SERVICE = web.AppKey("service", Service)
PUBLISHER = web.AppKey("publisher", Publisher)
RECONCILER = web.AppKey("reconciler", Reconciler)
