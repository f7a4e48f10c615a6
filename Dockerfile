# turnout as a container: control and router, as a user without rights, on a read-only root.
#
#   docker build -t turnout .
#
# Where the base cannot be pulled, make one of this Debian machine's own packages, and wheels of
# what requirements.txt names, and build from those:
#
#   sh config/base-image.sh turnout-base
#   pip wheel -w wheels -r requirements.txt setuptools
#   docker build -t turnout --build-arg BASE=turnout-base \
#       --build-arg PIP_ARGS="--no-index --find-links=wheels" .
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ARG PIP_ARGS=""
WORKDIR /src
RUN python3 -m venv /opt/turnout && mkdir /state && chown 10001:10001 /state
COPY pyproject.toml requirements.txt README.md LICENSE wheel[s] ./wheels/
RUN cd wheels && mv pyproject.toml requirements.txt README.md LICENSE .. && cd .. \
    && /opt/turnout/bin/pip install --no-cache-dir ${PIP_ARGS} -r requirements.txt
COPY router router
COPY control control
RUN /opt/turnout/bin/pip install --no-cache-dir --no-deps ${PIP_ARGS} . \
    && /opt/turnout/bin/pip uninstall -y -q pip setuptools

FROM ${BASE} AS turnout
COPY --from=build /opt/turnout /opt/turnout
COPY --from=build --chown=10001:10001 /state /state
ENV PATH=/opt/turnout/bin:$PATH PYTHONUNBUFFERED=1 TURNOUT_STATE=/state
VOLUME /state
USER 10001:10001
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8081/healthz', timeout=2)"]
ENTRYPOINT ["turnout"]
CMD ["up"]

# The demo app by itself, for config/compose: docker build --target demo -t turnout-demo .
FROM turnout AS demo
ENV HOST=0.0.0.0 PORT=8080
HEALTHCHECK NONE
ENTRYPOINT ["python3", "-m", "control.demo_app"]
CMD []

FROM turnout
