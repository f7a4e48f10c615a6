"""Turns a replica into what the Docker Engine is asked to create. Pure.

A replica has one container for each of the template's, all in the first one's network namespace.
Labels say which replica they belong to: nothing is ever found, stopped or removed by its name
alone.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from control.model.errors import Invalid
from control.model.resources import Replica
from control.model.template import InitContainer, Template, Volume
from control.runtime.base import Launch

INSTANCE = "turnout.instance"  # id of the store that the replica belongs to
REPLICA = "turnout.replica"
UID = "turnout.revision-uid"  # the revision whose code it runs
CONTAINER = "turnout.container"  # the container's name in the template
ROLE = "turnout.role"  # main, side or init
_LOGS = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}}


def image_of(image: str) -> str:
    """The image's name for the engine: `docker:` only chooses the runtime."""
    return image.removeprefix("docker:")


def images(template: Template) -> list[str]:
    """The images of a template's containers, each once."""
    programs = (*template.init_containers, *template.containers)
    return list(dict.fromkeys(image_of(program.image) for program in programs))


def check_host_paths(template: Template, allowed: Iterable[str]) -> None:
    """Raise Invalid for a volume of host files outside the allowed directories."""
    for volume in template.volumes:
        source = Path(os.path.normpath(volume.storage_name or "/"))
        is_allowed = any(source.is_relative_to(path) for path in allowed)
        if volume.storage_type == "HostPath" and not is_allowed:
            raise Invalid(
                f"template.volumes: {source} of the host may not be mounted; "
                "the setting docker_host_paths says what may"
            )


@dataclass(frozen=True, slots=True)
class Owner:
    """The control plane that containers belong to, and the network they live in."""

    instance: str
    network: str
    is_published: bool = False  # reached at ports of 127.0.0.1 instead of addresses in the network

    def labels(self, replica: Replica) -> dict[str, str]:
        """The labels on everything of one replica."""
        return {INSTANCE: self.instance, REPLICA: replica.name, UID: replica.revision_uid}

    def filters(self, replica: str = "") -> dict[str, list[str]]:
        """Filters that find everything of ours, or of one replica."""
        labels = [f"{INSTANCE}={self.instance}"]
        return {"label": [*labels, f"{REPLICA}={replica}"] if replica else labels}


def volume_name(replica: str, volume: Volume) -> str:
    """The name of the engine's volume behind an EmptyDir or Secret."""
    return f"turnout.{replica}.{volume.name}"


def container_name(replica: str, container: str, *, is_main: bool) -> str:
    """The name in `docker ps`: the replica's, plus the container's unless it is the main one."""
    return replica if is_main else f"{replica}.{container}"


def main_of(shown: list[dict[str, Any]], replica: Replica, wanted: int) -> dict[str, Any] | None:
    """The main one of a replica's running containers, as the engine lists them.

    None unless as many run as are wanted, all with the code of the replica's revision.
    """
    labels = [s["Config"]["Labels"] for s in shown]
    if len(shown) < wanted or any(found.get(UID, "") != replica.revision_uid for found in labels):
        return None
    return next((s for s in shown if s["Config"]["Labels"].get(ROLE) == "main"), None)


def config_of(
    launch: Launch,
    container: InitContainer,
    role: str,
    owner: Owner,
    main_id: str = "",
    reference: str = "",
) -> dict[str, Any]:
    """The body of a create request; a side container joins the network of `main_id`.

    `reference` names the image for the engine when its tag has moved to another.
    """
    replica = launch.replica.name
    host: dict[str, Any] = {
        "LogConfig": _LOGS,
        "RestartPolicy": {"Name": "no"},  # the control plane decides about restarts
        "Mounts": list(_mounts(launch, container)),
        "NetworkMode": f"container:{main_id}" if main_id else owner.network,
        # an init reaps zombies, and TERM reaches programs that are not written to run as pid 1
        "Init": True,
    }
    resources = container.resources
    if resources is not None and resources.cpu is not None:
        host["NanoCpus"] = int(resources.cpu * 1e9)
    if resources is not None and resources.memory is not None:
        host |= {"Memory": resources.memory_bytes, "MemorySwap": resources.memory_bytes}
    variables = launch.variables(container.env, launch.target_port)
    config: dict[str, Any] = {
        "Image": reference or image_of(container.image),
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "Labels": owner.labels(launch.replica) | {CONTAINER: container.name, ROLE: role},
        "HostConfig": host,
        "StopTimeout": launch.replica.grace_s,
    }
    if not main_id:
        config["Hostname"] = replica[:63]
    if role == "main" and owner.is_published:
        ports = [f"{port}/tcp" for port in {launch.target_port, *probe_ports(launch)}]
        config["ExposedPorts"] = {port: {} for port in ports}
        host["PortBindings"] = {port: [{"HostIp": "127.0.0.1"}] for port in ports}
    if container.command:
        config["Entrypoint"] = list(container.command)
    if container.args:
        config["Cmd"] = list(container.args)
    return config


def _mounts(launch: Launch, container: InitContainer) -> Iterable[dict[str, Any]]:
    volumes = {volume.name: volume for volume in launch.revision.template.volumes}
    for mount in container.volume_mounts:
        volume = volumes[mount.volume_name]
        if volume.storage_type == "HostPath":
            source = volume.storage_name or ""
            if mount.sub_path:
                source = f"{source.rstrip('/')}/{mount.sub_path}"
            yield {"Type": "bind", "Source": source, "Target": mount.mount_path}
        else:
            name = volume_name(launch.replica.name, volume)
            yield {"Type": "volume", "Source": name, "Target": mount.mount_path}


def secret_files(launch: Launch, volume: Volume) -> bytes:
    """The files of a Secret volume as a tar archive; all secrets if none are chosen."""
    chosen = {f.path or f.secret_ref: f.secret_ref for f in volume.secrets} or {
        name: name for name in launch.secrets
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, name in chosen.items():
            content = launch.secrets.get(name, "").encode()
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(content), 0o444
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def address_of(shown: dict[str, Any], port: int, owner: Owner) -> str:
    """HOST:PORT at which a port of a container is reached. Raises LookupError while there is none.

    `shown` is the engine's description of the container.
    """
    settings = shown["NetworkSettings"]
    if owner.is_published:
        binding = (settings["Ports"].get(f"{port}/tcp") or [])[0]
        return f"{binding['HostIp']}:{binding['HostPort']}"
    ip = settings["Networks"][owner.network]["IPAddress"]
    if not ip:
        raise LookupError(f"{shown['Name']} has no address")
    return f"{ip}:{port}"


def probe_ports(launch: Launch) -> set[int]:
    """Ports other than the target port that probes ask."""
    found = set()
    for container in launch.revision.template.containers:
        for probe in container.probes:
            asked = probe.http_get or probe.tcp_socket
            if asked is not None:
                found.add(asked.port)
    return found - {launch.target_port}
