#!/bin/sh
# A canary that goes bad: v2 gets half of the traffic and begins to fail; `turnout top` shows it,
# and a rollback takes the traffic back. TURNOUT_SERVER names the control plane,
# TURNOUT_STATE its state directory, where the token is.
set -eu

turnout traffic set album-api --revision-weight v1=50 --revision-weight v2=50 > /dev/null
turnout fault set album-api v2 --abort 503 --percent 30 --for 5m > /dev/null
hey -z "${DURATION:-10}s" -c 10 -q 10 -host album-api.localhost "http://${TARGET:-127.0.0.1:8080}/" > /dev/null &
load=$!

while turnout top album-api -o json | python3 -c '
import json, sys
rows = json.load(sys.stdin)
bad = [r for r in rows if r["requests"] and r["errors"] > 0.1 * r["requests"]]
print(*(r["revision"] + " fails: %.0f of %.0f/s" % (r["errors"], r["requests"]) for r in bad))
sys.exit(bool(bad))'; do
    kill -0 $load 2> /dev/null || { echo "the load ended before anything was noticed"; exit 1; }
done

turnout traffic set album-api --revision-weight v1=100 > /dev/null
wait $load
turnout fault clear album-api v2 > /dev/null
echo "rolled back:"
turnout traffic show album-api
