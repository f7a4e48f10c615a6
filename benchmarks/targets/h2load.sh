#!/bin/sh
# h2load over HTTP/1.1, which is what the ingress speaks.
set -eu
exec h2load --h1 -c 16 -D "${DURATION:-10}" --connect-to="${TARGET:-127.0.0.1:8080}" \
    "http://${APP:-album-api.localhost}/"
