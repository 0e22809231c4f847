#!/bin/sh
# The Prefect server on PostgreSQL. Passwords come from files and stand in no compose file and no image.
set -eu
PREFECT_API_DATABASE_CONNECTION_URL="postgresql+asyncpg://prefect:$(cat /run/secrets/postgres_password)@postgres:5432/prefect"
PREFECT_SERVER_API_AUTH_STRING="night:$(cat /run/secrets/prefect_password)"
export PREFECT_API_DATABASE_CONNECTION_URL PREFECT_SERVER_API_AUTH_STRING
exec prefect server start --host 0.0.0.0 --port 4200
