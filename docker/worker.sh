#!/bin/sh
# The worker: puts the night's deployments on the server, then runs what is due. PLAN and DATA are paths, both optional.
set -eu
PREFECT_API_AUTH_STRING="night:$(cat /run/secrets/prefect_password)"
export PREFECT_API_AUTH_STRING
if [ -s /run/secrets/wandb_api_key ]; then
    WANDB_API_KEY="$(cat /run/secrets/wandb_api_key)"
    export WANDB_API_KEY
fi
if [ -s /run/secrets/study_url ]; then
    NIGHT_STUDY="$(cat /run/secrets/study_url)"
    export NIGHT_STUDY
fi
nightshift resume --out /runs || true # a night that the last container left
nightshift deploy ${PLAN:+"$PLAN"} ${DATA:+--data "$DATA"} --out /runs --pool "${POOL:-nightshift}"
exec prefect worker start --pool "${POOL:-nightshift}" --type process --limit 3 --with-healthcheck
