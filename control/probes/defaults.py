"""Which probes a replica gets: those of its template, and ACA's defaults beside them. Pure."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from control.model.template import Probe, Template


def _default(kind: str, delay_s: int, period_s: int, timeout_s: int, failures: int) -> Probe:
    return Probe.model_validate(
        {
            "type": kind,
            "tcpSocket": {"port": 1},  # replaced by the replica's own port
            "initialDelaySeconds": delay_s,
            "periodSeconds": period_s,
            "timeoutSeconds": timeout_s,
            "failureThreshold": failures,
        }
    )


# What ACA gives an app with ingress that brings no probe of its own
_DEFAULTS = (
    _default("Startup", 1, 1, 3, 240),
    _default("Readiness", 3, 5, 5, 48),
    _default("Liveness", 0, 10, 1, 3),
)
_TRAFFIC = _default("Readiness", 0, 5, 5, 3)


@dataclass(frozen=True, slots=True)
class Probes:
    """The probes of one container; None where there is no probe."""

    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Probe | None = None


def probes_of(
    template: Template, *, has_ingress: bool, other_ports: Container[str] = ()
) -> list[Probes]:
    """The probes of every container. With an ingress, the main container gets defaults.

    ACA's default TCP probe stands in for each type that it does not define. `other_ports` are ports
    that probes ask although traffic goes elsewhere. If readiness is only asked at such a port, the
    port of the traffic has to accept connections as well.
    """
    by_type: list[dict[str, Probe]] = [{p.type: p for p in c.probes} for c in template.containers]
    main, *others = by_type
    if has_ingress:
        for probe in _DEFAULTS:
            main.setdefault(probe.type, probe)
    every = [
        Probes(found.get("Startup"), found.get("Readiness"), found.get("Liveness"))
        for found in (main, *others)
        if found or found is main
    ]
    asked = [str(port_of(p.readiness)) for p in every if p.readiness is not None]
    if has_ingress and all(port in other_ports for port in asked):
        every.append(Probes(readiness=_TRAFFIC))
    return every


def port_of(probe: Probe) -> int | None:
    """The port that a probe asks; None for one that runs a command."""
    asked = probe.http_get or probe.tcp_socket
    return asked.port if asked is not None else None
