FROM python:3.11-slim-bookworm AS packages
WORKDIR /build
COPY requirements.lock .
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-deps \
        --only-binary :all: --require-hashes -r requirements.lock

FROM python:3.11-slim-bookworm AS application
WORKDIR /build
COPY requirements-dev.lock .
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-deps \
        --only-binary :all: --require-hashes -r requirements-dev.lock
COPY protos protos
COPY services services
RUN /opt/venv/bin/python protos/build.py \
    && python -m compileall -q --invalidation-mode unchecked-hash services stubs

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="loyalty-platform" \
      org.opencontainers.image.description="The servers, migrations and bus of the loyalty platform" \
      org.opencontainers.image.version="0.1.0"
RUN python -m pip uninstall --yes pip setuptools wheel
COPY --from=packages /opt/venv /opt/venv
COPY --from=application /build/services /app/services
COPY --from=application /build/stubs /app/stubs
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app:/app/stubs \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m"]
