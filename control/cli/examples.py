"""An example for every command, shown by `-h` and after a command that was typed wrongly."""

from __future__ import annotations

import typer

EXAMPLES = {
    "up": "turnout up --listen 127.0.0.1:8080",
    "router": "turnout router --routes config/routes.toml",
    "control": "turnout control --admin 0.0.0.0:8081 --token-file tokens",
    "demo": "turnout demo --listen 127.0.0.1:9090 --admin 127.0.0.1:9091",
    "upgrade": "turnout upgrade --state .turnout",
    "check": "turnout check config/routes.toml",
    "wait": "turnout wait --timeout 30",
    "version": "turnout version",
    "console": "turnout console",
    "deploy": "turnout deploy album-api --image nginx:1.27 --target-port 80 --revision-suffix v1",
    "plan": "turnout plan -f album-api.yaml",
    "apply": "turnout apply -f album-api.yaml",
    "azure-env": 'eval "$(turnout azure-env)"',
    "backup": "turnout backup turnout.backup",
    "restore": "turnout restore turnout.backup",
    "logs": "turnout logs album-api --revision v2 --follow",
    "status": "turnout status album-api",
    "top": "turnout top album-api",
    "explain": "turnout explain http://album-api.localhost:8080/",
    "journal": "turnout journal album-api --limit 5",
    "rollback": "turnout rollback album-api",
    "app list": "turnout app list",
    "app show": "turnout app show album-api -o yaml",
    "app delete": "turnout app delete album-api --yes",
    "app stop": "turnout app stop album-api",
    "app start": "turnout app start album-api",
    "revision list": "turnout revision list album-api --all",
    "revision show": "turnout revision show album-api --revision v2",
    "revision activate": "turnout revision activate album-api --revision v1",
    "revision deactivate": "turnout revision deactivate album-api --revision v1",
    "revision restart": "turnout revision restart album-api --revision v2",
    "revision set-mode": "turnout revision set-mode album-api --mode multiple",
    "revision copy": "turnout revision copy album-api --from-revision v1 --env COLOR=blue",
    "traffic show": "turnout traffic show album-api",
    "traffic set": "turnout traffic set album-api --revision-weight v1=80 --revision-weight v2=20",
    "label add": "turnout label add album-api --label staging --revision v2",
    "label move": "turnout label move album-api --label staging --revision v2",
    "label remove": "turnout label remove album-api --label staging",
    "label swap": "turnout label swap album-api --source blue --target green",
    "label history": "turnout label history album-api --label staging",
    "ingress show": "turnout ingress show album-api",
    "ingress enable": "turnout ingress enable album-api --target-port 80 --type external",
    "ingress update": "turnout ingress update album-api --hostname www.example.com",
    "ingress disable": "turnout ingress disable album-api",
    "fault set": "turnout fault set album-api v2 --delay 200ms --percent 10 --for 5m",
    "fault list": "turnout fault list album-api",
    "fault clear": "turnout fault clear album-api v2",
    "secret list": "turnout secret list album-api",
    "secret show": "turnout secret show album-api --secret-name db-password",
    "secret set": "turnout secret set album-api --secrets db-password=hunter2",
    "secret remove": "turnout secret remove album-api --secret-names db-password",
    "replica list": "turnout replica list album-api --revision v2",
    "replica show": "turnout replica show album-api --replica album-api--v2-1",
}


def give_examples(app: typer.Typer, group: str = "") -> None:
    """Put the example of every command below its help."""
    for info in app.registered_commands:
        name = info.name or (info.callback.__name__ if info.callback is not None else "")
        if example := EXAMPLES.get(f"{group} {name}".strip()):
            info.epilog = f"Example: {example}"
    for sub in app.registered_groups:
        if sub.typer_instance is not None:
            give_examples(sub.typer_instance, sub.name or "")


def example_for(command_path: str) -> str:
    """The example of a command, or a group's first one, beginning as the command was called."""
    name = command_path.partition(" ")[2]
    found = [example for key, example in EXAMPLES.items() if key == name]
    return next(iter(found or [e for k, e in EXAMPLES.items() if k.startswith(f"{name} ")]), "")
