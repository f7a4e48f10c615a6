#!/bin/sh
# wrk: as fast as it goes, on 32 connections.
set -eu
exec wrk --latency -t 1 -c 32 -d "${DURATION:-10}s" -H "Host: ${APP:-album-api.localhost}" \
    "http://${TARGET:-127.0.0.1:8080}/"
