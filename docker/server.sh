#!/bin/sh
# The Prefect server on PostgreSQL. Passwords come from files and stand in no compose file and no image.
set -eu
PREFECT_API_DATABASE_CONNECTION_URL="postgresql+asyncpg://prefect:$(cat /run/secrets/postgres_password)@postgres:5432/prefect"
PREFECT_SERVER_API_AUTH_STRING="night:$(cat /run/secrets/prefect_password)"
# Who holds a slot must be known after a restart, or the flow of a night that runs is crashed.
PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem
PREFECT_HOME=/prefect
export PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE PREFECT_HOME
export PREFECT_API_DATABASE_CONNECTION_URL PREFECT_SERVER_API_AUTH_STRING
exec prefect server start --host 0.0.0.0 --port 4200
