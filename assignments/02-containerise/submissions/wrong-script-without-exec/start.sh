#!/bin/sh
echo "Starting the triage service"
uvicorn service:app --host 0.0.0.0 --port "${PORT:-8080}"
