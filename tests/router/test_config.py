from __future__ import annotations

from pathlib import Path

import pytest

from router.contract.settings import RouterSettings
from router.process.config import BadSettings, load


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text('workers = 3\nlisten = "h:3"\nadmin = "h:3"\n')
    environ = {"TURNOUT_WORKERS": "2", "TURNOUT_LISTEN": "h:2"}

    settings = load(RouterSettings, {"workers": 1, "domain": None}, file=file, environ=environ)

    assert (settings.workers, settings.listen, settings.admin) == (1, "h:2", "h:3")
    assert settings.domain == "localhost"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("workres = 3", "did you mean workers?"),
        ('workers = "many"', "'many' is not a whole number"),
        ("via = 3", "is not true or false"),
        ("workers = ", "is no TOML"),
    ],
)
def test_a_bad_setting_says_what_it_should_be(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "t.toml"
    file.write_text(text)

    with pytest.raises(BadSettings, match=says.replace("?", r"\?")):
        load(RouterSettings, {}, file=file, environ={})


@pytest.mark.parametrize(
    "values",
    [
        {"routes": "x", "control": "y"},
        {},
        {"routes": "x", "listen": "nonsense"},
        {"routes": "x", "listen": "h:70000"},
        {"routes": "x", "workers": -1},
        {"routes": "x", "log_level": "loud"},
        {"routes": "x", "trusted_proxies": ("10.0.0.1/8",)},
        {"routes": "x", "trusted_proxies": ("nginx",)},
        {"routes": "x", "trusted_only_fields": ("*",)},
        {"routes": "x", "trusted_only_fields": ("X-A:",)},
    ],
)
def test_settings_that_make_no_sense_together_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(BadSettings):
        RouterSettings(**values).check()  # type: ignore[arg-type]


def test_every_bad_setting_of_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text('workres = 3\n# via = 1\nvia = 3\n\n[control]\nvia = 4\nworkers = "x"\n')
    with pytest.raises(BadSettings) as caught:
        load(RouterSettings, {}, file=file, environ={})
    assert str(caught.value).split("\n") == [
        f"{file}:1: there is no setting workres; did you mean workers?",
        f"{file}:3: via: 3 is not true or false",
    ]


def test_the_routers_lists_are_read_from_texts() -> None:
    environ = {"TURNOUT_ADMIN_HOSTS": "a.example.com, b.example.com"}
    given = load(RouterSettings, {"internal_networks": "10.0.0.0/8"}, environ=environ)
    assert given.admin_hosts == ("a.example.com", "b.example.com")
    assert given.internal_networks == ("10.0.0.0/8",)
