# The image of the tool itself: for CI, for people without Python, and the first stage of every project's image.
#
#   docker build -t nomic-scaffold .
#   docker run --rm -v "$PWD:/project" nomic-scaffold lock --check
#
# Another base or mirror: --build-arg BASE=registry.example/python:3.13-slim (any Debian-like image with python3 >= 3.11 and venv).
# Another package index: --build-arg PIP_INDEX_URL=...; or put every wheel into ./wheelhouse and pass PIP_NO_INDEX=1.
# Extra CA certificates: put *.crt files into ./certificates; they stay in the build stage.
ARG BASE=docker.io/library/python:3.13-slim-bookworm@sha256:ed86c82274b3c69b52fb5820f358f0bd7df0b603332063cb5c6e32bd220c3e6e

FROM ${BASE} AS build
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_FIND_LINKS=/source/wheelhouse PYTHONDONTWRITEBYTECODE=1
COPY . /source
RUN set -eu; mkdir -p /source/wheelhouse; \
    if ls /source/certificates/*.crt >/dev/null 2>&1; then \
      cp /source/certificates/*.crt /usr/local/share/ca-certificates/; update-ca-certificates >/dev/null; \
      export PIP_CERT=/etc/ssl/certs/ca-certificates.crt; fi; \
    python3 -m venv /layer/opt/nomic-scaffold; \
    pip=/layer/opt/nomic-scaffold/bin/pip; \
    $pip install --quiet --no-compile --no-deps --require-hashes -r /source/locks/tool/requirements.txt; \
    $pip install --quiet --no-compile --no-deps --no-index --no-build-isolation /source; \
    $pip uninstall --quiet --yes hatchling pip; \
    find /layer/opt/nomic-scaffold/bin -type f -exec sed -i '1s|/layer/opt|/opt|' {} +; \
    sed -i 's|/layer/opt|/opt|g' /layer/opt/nomic-scaffold/pyvenv.cfg; \
    mkdir -p /layer/project /layer/home/scaffold; chown 10001:10001 /layer/project /layer/home/scaffold; \
    find /layer -exec touch -h -d @0 {} +

FROM ${BASE}
LABEL org.opencontainers.image.title="nomic-scaffold" \
      org.opencontainers.image.description="Local text-embedding projects that are the same on every machine, and can prove it" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /layer/ /
ENV PATH=/opt/nomic-scaffold/bin:$PATH HOME=/home/scaffold PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /project
ENTRYPOINT ["nomic-scaffold"]
CMD ["--help"]
