#!/bin/sh
set -e
mkdir -p /app/logs
exec uvicorn service:app --host 0.0.0.0 --port 8080 --timeout-graceful-shutdown 8
