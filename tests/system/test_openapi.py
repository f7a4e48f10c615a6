"""The OpenAPI document is true: schemathesis sends what it allows, and more, and finds nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.turnout import Turnout

# Left out: what a JSON schema cannot say (weights sum to 100, names exist) makes sound bodies
# refused, and scalars are read liberally, so unsound ones may be taken.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,unsupported_method"
)
BODY = {
    "configuration": {"activeRevisionsMode": "multiple", "ingress": {"targetPort": 80}},
    "template": {"revisionSuffix": "v1", "containers": [{"image": "endpoint:127.0.0.1:1"}]},
}


@pytest.fixture
def control(state: Path) -> Iterator[Turnout]:
    with Turnout("control", admin="127.0.0.1:0", state=state / "s") as control:
        yield control


def test_schemathesis_finds_nothing(control: Turnout, tmp_path: Path) -> None:
    control.must("PUT", "/v1/apps/shop", BODY)  # so that some of what it asks for exists
    command = [
        "-m", "schemathesis.cli", "run", f"{control.server}/openapi.json", "--checks", CHECKS,
        "--max-examples", "15", "--phases", "examples,coverage,fuzzing", "--request-timeout", "10",
        "--workers", "1", "--no-color", "--exclude-path", "/v1/sync",
        "--exclude-path", "/v1/events",
        "--header", f"Authorization: Bearer {control.token}",
    ]  # fmt: skip
    # /v1/sync waits for news as long as it is asked to, /v1/events for ever. One worker: threads
    # that parse Python at the same time confuse CPython 3.11 ("AST constructor recursion depth
    # mismatch").
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert control.call("GET", "/readyz")[0] == 200


def test_the_page_needs_nothing_from_elsewhere(control: Turnout) -> None:
    status, page = control.call("GET", "/docs")
    assert status == 200
    assert "/v1/apps/{app}" in page
    assert "https://" not in page
