# The `tally` command in an image: no compiler, no pip, no root. `docker compose up` shows it with a development Ethereum.

FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/tallystick
WORKDIR /src
# Dependencies first: they change less often than the code, and this layer is the slow one.
COPY requirements.txt ./
RUN /opt/tallystick/bin/pip install --no-cache-dir --disable-pip-version-check \
        --require-hashes --only-binary :all: --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY chain chain
COPY node node
COPY client client
COPY devnet devnet
COPY contracts contracts
COPY explorer explorer
RUN /opt/tallystick/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && /opt/tallystick/bin/pip uninstall --yes --quiet setuptools pip

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin tally \
    && install --directory --owner tally --group tally --mode 0700 /data
COPY --from=build /opt/tallystick /opt/tallystick
# Settings of the node, over those of its file. The port is published by whoever runs the container.
ENV PATH=/opt/tallystick/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TALLYSTICK_HOST=0.0.0.0
USER tally
WORKDIR /data
VOLUME /data
EXPOSE 8645
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8645/health/ready', timeout=4)"]
ENTRYPOINT ["tally"]
CMD ["node", "--config", "/data/node.toml"]
