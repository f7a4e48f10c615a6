"""An app's secrets: kept when a write omits their values, and present wherever one is needed.

Pure. A value leaves the control plane only by listSecrets and in what replicas are given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from control.model.errors import Detail, all_of
from control.model.resources import Revision
from control.model.schema import Configuration, Secret

_CODE = "ContainerAppSecretInvalid"


def filled(new: Configuration, old: Configuration) -> Configuration:
    """`new`, with stored values for the secrets that it only names. Raises Invalid."""
    known = {secret.name: secret for secret in old.secrets}
    details = list(_wrong(new.secrets, known))
    if details:
        raise all_of(details, "the secrets were not changed")
    secrets = tuple(
        secret if secret.value is not None else known[secret.name] for secret in new.secrets
    )
    return new.model_copy(update={"secrets": secrets})


def _wrong(secrets: Iterable[Secret], known: Mapping[str, Secret]) -> Iterator[Detail]:
    seen: set[str] = set()
    for secret in secrets:
        if secret.name in seen:
            yield _bad(f"secret {secret.name} is given twice")
        elif secret.value is None and secret.name not in known:
            yield _bad(f"secret {secret.name} has no value yet; give it one")
        seen.add(secret.name)


def check(configuration: Configuration, revisions: Iterable[Revision]) -> None:
    """Check that each secret an active revision or a registry needs exists. Raises Invalid."""
    names = {secret.name for secret in configuration.secrets}
    details = [
        _bad(f"revision {revision.name} needs the secret {missing}, which the app does not have")
        for revision in revisions
        if revision.is_active
        for missing in sorted(revision.template.secret_refs - names)
    ]
    details += [
        _bad(
            f"registry {registry.server} needs the secret {registry.password_secret_ref}, "
            "which the app does not have"
        )
        for registry in configuration.registries
        if registry.password_secret_ref not in names
    ]
    if details:
        raise all_of(details, "nothing was changed")


def _bad(message: str) -> Detail:
    return Detail(_CODE, message, "configuration.secrets")


def changes(old: Configuration, new: Configuration) -> Iterator[str]:
    """What differs between the secrets, by name and without values."""
    before, after = old.secret_values, new.secret_values
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield f"secret {name} added"
        elif name not in after:
            yield f"secret {name} removed"
        elif before[name] != after[name]:
            yield f"secret {name} changed; a revision sees it after a restart"
