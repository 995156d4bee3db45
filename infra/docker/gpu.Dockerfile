# syntax=docker/dockerfile:1.7
# The GPU pool's worker. Build it from the repository's root:
#   docker build -f infra/docker/gpu.Dockerfile -t lipsync-gpu:0.1.0 .
#
# CUDA's major version is the one that the wheel of onnxruntime-gpu is built for: 1.31 asks for CUDA 13 and cuDNN 9,
# and so for a driver of the 580 series or newer. Change the two together.
#
# onnxruntime must not come in beside onnxruntime-gpu: both install into the folder `onnxruntime`, the one that comes
# last overwrites the other's files, and with those of the CPU build no worker starts that is set to cuda. Hence the
# extra `gpu` and never `neural`; nothing else here asks for onnxruntime (insightface would: this project reads its
# models without it). `lipsync_service.deploy.check_gpu` fails the build where that is no longer so.
ARG BASE=nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04

FROM ${BASE} AS python
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3.12 \
    && rm -rf /var/lib/apt/lists/*

FROM python AS build
# In place of the version that constraints.txt pins.
ARG ONNXRUNTIME_GPU_VERSION=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CACHE_DIR=/var/cache/pip
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3.12-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3.12 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /opt/lipsync
COPY constraints.txt pyproject.toml README.md ./
COPY lipsync_core lipsync_core
COPY lipsync_service lipsync_service
COPY lipsync_cli lipsync_cli
COPY tasks tasks
COPY flows flows
COPY prefect.yaml ./
# Editable, and flows and tasks not installed, as in the CPU image.
RUN --mount=type=cache,target=/var/cache/pip \
    test -z "${ONNXRUNTIME_GPU_VERSION}" \
        || sed -i "s/^onnxruntime-gpu==.*/onnxruntime-gpu==${ONNXRUNTIME_GPU_VERSION}/" constraints.txt \
    && pip install --no-compile -c constraints.txt -e '.[service,gpu,model-server]' prefect-redis
RUN lipsync models pull mediapipe-face --home /opt/models \
    && lipsync models pull speech-encoder --home /opt/models \
    && lipsync doctor --home /opt/models \
    && python -m lipsync_service.deploy.check_gpu \
    && python -m compileall -q -j 0 /opt/venv/lib /opt/lipsync

FROM python
RUN groupadd --system --gid 10001 lipsync \
    && useradd --system --uid 10001 --gid lipsync --home-dir /var/lib/lipsync --no-log-init lipsync \
    && install -d -o lipsync -g lipsync /var/lib/lipsync /var/lib/lipsync/models \
        /var/lib/lipsync/prefect /var/lib/lipsync/spool /var/cache/lipsync
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/lipsync /opt/lipsync
COPY --from=build /opt/models /opt/models
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/var/lib/lipsync \
    TMPDIR=/var/tmp \
    XDG_DATA_HOME=/var/lib \
    XDG_CACHE_HOME=/var/cache \
    PREFECT_HOME=/var/lib/lipsync/prefect \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=1 \
    LIPSYNC_PROVIDERS=cuda \
    LIPSYNC_SOURCE=/opt/lipsync
WORKDIR /opt/lipsync
USER 10001:10001
VOLUME ["/var/lib/lipsync/models"]
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=4 \
    CMD ["python", "-m", "lipsync_service.worker.health", "http://127.0.0.1:8080/health"]
CMD ["python", "-m", "lipsync_service.worker.container", "lipsync-gpu"]
