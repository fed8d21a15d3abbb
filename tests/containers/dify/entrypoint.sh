#!/bin/bash
# Starts the example host as Dify's entrypoint starts Dify: by MODE, with the same servers, pools,
# options and variables.
set -e

if [[ "${MIGRATION_ENABLED}" == "true" ]]; then
  echo "Running migrations"
  flock /app/api/storage/.migrations python -m examples.host.db
fi

case "${MODE}" in
  worker)
    exec celery -A celery_entrypoint.celery worker -P "${CELERY_WORKER_CLASS:-gevent}" \
      -c "${CELERY_WORKER_AMOUNT:-1}" --max-tasks-per-child "${MAX_TASKS_PER_CHILD:-50}" \
      --loglevel "${LOG_LEVEL:-INFO}" -Q "${CELERY_QUEUES:-retention,workflow_based_app_execution}" \
      --prefetch-multiplier="${CELERY_PREFETCH_MULTIPLIER:-1}"
    ;;
  beat)
    exec celery -A app.celery beat --schedule /tmp/celerybeat-schedule --loglevel "${LOG_LEVEL:-INFO}"
    ;;
  *)
    exec gunicorn \
      --bind "${DIFY_BIND_ADDRESS:-0.0.0.0}:${DIFY_PORT:-5001}" \
      --workers "${SERVER_WORKER_AMOUNT:-1}" \
      --worker-class "${SERVER_WORKER_CLASS:-gevent}" \
      --worker-connections "${SERVER_WORKER_CONNECTIONS:-10}" \
      --timeout "${GUNICORN_TIMEOUT:-200}" \
      app:app
    ;;
esac
