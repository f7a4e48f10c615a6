#!/bin/sh
# hey: 20 clients at 10 requests a second each; a fixed rate shows what waiting costs.
set -eu
exec hey -z "${DURATION:-10}s" -c 20 -q 10 -host "${APP:-album-api.localhost}" \
    "http://${TARGET:-127.0.0.1:8080}/?delay=5ms"
