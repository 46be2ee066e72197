# personalize-connect as an image. Three stages, of which only the last is shipped:
#
#   dependencies  the locked dependencies in /opt/venv, every file checked against its hash, without the
#                 descriptions of the 400 AWS services that we never call
#   build         the project in /app, compiled, and its command in /opt/venv
#   (the last)    the bare base, /opt/venv and /app; a user without rights or a home
#
# The root file system may be read-only. The service copies catalogues to /data, and a replica without Redis keeps
# there what must survive a restart: mount a volume of yours.
# One process, one worker: to use more cores, run more replicas with the same REDIS_URL.
#
# The base is a tag, which its maker moves to mend faults. For a release, name what the tag points to at that moment:
#   docker build --build-arg PYTHON_IMAGE=python:3.13-slim-bookworm@sha256:...
# docs/release.md says how to look the digest up.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS dependencies
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# The tools have an environment of their own, so that no pip ends up in the image.
RUN python -m venv /opt/tools && python -m venv --without-pip /opt/venv
WORKDIR /build
# With what `liquid` needs. `--build-arg LOCK=otel` adds what OpenTelemetry's spans need, `LOCK=plot` what
# `plan --plot send.png` needs, and `LOCK=pipeline` what `data check` and `train` need.
ARG LOCK=liquid
COPY requirements/build.txt requirements/${LOCK}.txt requirements/
RUN /opt/tools/bin/pip install --quiet --require-hashes -r requirements/build.txt \
 && /opt/tools/bin/pip --python /opt/venv/bin/python install --quiet --require-hashes -r requirements/${LOCK}.txt
# Kept: Personalize (`personalize` for its regions), the catalogue's sources, and what the credential chain may call.
RUN site=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
 && find "$site/botocore/data" -mindepth 1 -maxdepth 1 -type d \
        ! -name personalize ! -name personalize-runtime ! -name personalize-events ! -name s3 ! -name dynamodb \
        ! -name sts ! -name iam ! -name sso ! -name sso-oidc ! -name signin -exec rm -rf {} + \
 && find "$site" -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +

FROM dependencies AS build
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY sample sample
# It runs from where it lies, as in a checkout; /opt/venv gets its command and its version. The tools lend the build
# backend.
RUN PYTHONPATH=$(/opt/tools/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
    /opt/tools/bin/pip --python /opt/venv/bin/python install --quiet --no-deps --no-build-isolation --editable . \
 && /opt/venv/bin/python -m compileall -q service
# For /version.
ARG REVISION=
RUN printf '%s\n' "${REVISION}" > service/REVISION

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
ARG VERSION=dev
ARG REVISION=
ARG CREATED=
ARG SOURCE=
LABEL org.opencontainers.image.title="personalize-connect" \
      org.opencontainers.image.description="Amazon Personalize recommendations for Braze Connected Content" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
RUN install -d -o 10001 -g 10001 /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
# Modules are compiled in the image; at run time nothing is written beside them.
# TMPDIR: commands put copies of large files where there is room. MPLCONFIGDIR: the user has no home for its fonts.
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 DATA_DIR=/data MPLCONFIGDIR=/data/matplotlib TMPDIR=/data
USER 10001:10001
# Writable even where the root is not. Where a platform makes the volume (Fargate), the user above owns it.
VOLUME ["/data"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["python", "-c", \
 "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ.get('PORT', '8000') + '/readyz', timeout=2)"]
CMD ["personalize-connect", "serve"]
