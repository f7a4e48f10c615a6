"""`make bench`: turnout beside nginx, HAProxy, Caddy, Envoy and aiohttp, in one run."""
