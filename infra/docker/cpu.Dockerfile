# syntax=docker/dockerfile:1.7
# The API, the preparation and the CPU pool's worker. Build it from the repository's root:
#   docker build -f infra/docker/cpu.Dockerfile -t lipsync-cpu:0.1.0 .
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CACHE_DIR=/var/cache/pip
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /opt/lipsync
COPY constraints.txt pyproject.toml README.md ./
COPY lipsync_core lipsync_core
COPY lipsync_service lipsync_service
COPY lipsync_cli lipsync_cli
COPY tasks tasks
COPY flows flows
COPY prefect.yaml ./
# Editable, so that the image holds the code once. flows and tasks are not installed: the workers and `prefect deploy`
# import them from this folder, which LIPSYNC_SOURCE names below.
RUN --mount=type=cache,target=/var/cache/pip \
    pip install --no-compile -c constraints.txt -e '.[service,neural,model-server]' prefect-redis
RUN lipsync models pull mediapipe-face --home /opt/models \
    && lipsync models pull speech-encoder --home /opt/models \
    && lipsync doctor --home /opt/models \
    && python -m compileall -q -j 0 /opt/venv/lib /opt/lipsync

FROM python:3.11-slim-bookworm
RUN groupadd --system --gid 10001 lipsync \
    && useradd --system --uid 10001 --gid lipsync --home-dir /var/lib/lipsync --no-log-init lipsync \
    && install -d -o lipsync -g lipsync /var/lib/lipsync /var/lib/lipsync/models \
        /var/lib/lipsync/prefect /var/lib/lipsync/signing /var/lib/lipsync/spool /var/cache/lipsync
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/lipsync /opt/lipsync
COPY --from=build /opt/models /opt/models
# Models, the self-made certificate and the ledger's spool are below XDG_DATA_HOME/lipsync, copies of inputs below XDG_CACHE_HOME/lipsync, what is
# being worked on below TMPDIR. Nothing else is written, so the root may be mounted read-only.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/var/lib/lipsync \
    TMPDIR=/var/tmp \
    XDG_DATA_HOME=/var/lib \
    XDG_CACHE_HOME=/var/cache \
    PREFECT_HOME=/var/lib/lipsync/prefect \
    PREFECT_UI_STATIC_DIRECTORY=/var/lib/lipsync/prefect/ui \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=1 \
    LIPSYNC_SOURCE=/opt/lipsync
WORKDIR /opt/lipsync
USER 10001:10001
VOLUME ["/var/lib/lipsync/models"]
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=4 \
    CMD ["python", "-m", "lipsync_service.worker.health", "http://127.0.0.1:8080/health"]
CMD ["python", "-m", "lipsync_service.worker.container", "lipsync-cpu"]
