#!/bin/sh
# exec: the shell becomes Uvicorn, so signals reach it.
set -eu
echo "Starting on port $PORT"
exec uvicorn service:app --port "$PORT" "$@"
