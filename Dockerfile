# turnout as a container: control and router, as a user without rights, on a read-only root.
#
#   docker build -t turnout .
#
# Where the base cannot be pulled, make one of this Debian machine's own packages, and wheels of
# what requirements.txt names, and build from those:
#
#   sh config/base-image.sh turnout-base
#   sh config/base-image.sh turnout-builder gcc python3-dev
#   pip wheel -w wheels -r requirements.txt setuptools 'mypy[mypyc]==2.4.1'
#   docker build -t turnout --build-arg BASE=turnout-base --build-arg BUILDER=turnout-builder \
#       --build-arg PIP_ARGS="--no-index --find-links=wheels" .
#
# The builder has a C compiler, the image has none; --build-arg TURNOUT_PURE=1 needs none at all.
ARG BASE=python:3.13-slim
ARG BUILDER=python:3.13

FROM ${BUILDER} AS build
ARG PIP_ARGS=""
ARG TURNOUT_PURE=0
WORKDIR /src
RUN python3 -m venv /opt/turnout && mkdir /state && chown 10001:10001 /state
COPY pyproject.toml setup.py build_backend.py requirements.txt README.md LICENSE wheel[s] ./wheels/
RUN mv wheels/*.toml wheels/*.py wheels/*.txt wheels/*.md wheels/LICENSE . \
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
ENTRYPOINT ["python3", "-m", "control.demo.app"]
CMD []

FROM turnout
