"""Where settings come from.

Precedence: flags > environment (`SCANLEDGER_…`) > TOML file > default. The TOML file is `--config FILE`, else
`SCANLEDGER_CONFIG`, else `./scanledger.toml` where it exists; an empty `SCANLEDGER_CONFIG` means no file at all.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from domain.errors import Fault, Invalid
from infrastructure.settings import Settings, meaning, variable

DEFAULT_FILE: Final = Path("scanledger.toml")


def load_settings(flags: Mapping[str, object] | None = None, *, config: Path | None = None) -> Settings:
    """The settings from all sources. A flag that is None counts as not given.

    Raises `Invalid` with every fault at once: the setting, what is wrong, and what it should be.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    faults: list[Fault] = []
    path, from_file = _read_file(config, faults)
    try:
        from_environment = EnvSettingsSource(Settings)()
    except SettingsError as error:
        faults.append(Fault("environment", f"{error}: a table is written as JSON"))
        from_environment = {}
    merged = _merged(_merged(from_file, from_environment), given)
    faults.extend(_identity_faults(merged))
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        faults.extend(_faults(error, given, from_environment, path))
    if faults:
        raise Invalid(faults)
    return settings


def _read_file(config: Path | None, faults: list[Fault]) -> tuple[Path | None, dict[str, Any]]:
    named = config or os.environ.get(variable("config"))
    if named == "" or (named is None and not DEFAULT_FILE.is_file()):
        return None, {}
    path = Path(named or DEFAULT_FILE).expanduser()
    try:
        return path, tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        faults.append(Fault("config", f"{path} cannot be read ({error.strerror}): name a readable TOML file"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(Fault("config", f"{path} is not valid TOML: {error}"))
    return path, {}


def _identity_faults(given: Mapping[str, Any]) -> Iterator[Fault]:
    for prefix in ("nats", "worker_nats"):
        user, password, credentials = (f"{prefix}_{part}" in given for part in ("user", "password", "credentials"))
        if user != password:
            present, absent = ("user", "password") if user else ("password", "user")
            yield Fault(f"{prefix}_{absent}", f"must be set where {prefix}_{present} is: set both or neither")
        if user and credentials:
            yield Fault(f"{prefix}_credentials", f"excludes {prefix}_user and {prefix}_password: set one of the two")


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(inner, Mapping)
        merged[key] = _merged(inner, value) if both and inner is not None else value
    return merged


def _faults(
    error: ValidationError, flags: Mapping[str, object], environment: Mapping[str, object], path: Path | None
) -> Iterator[Fault]:
    for detail in error.errors(include_input=False, include_url=False):
        field = ".".join(map(str, detail["loc"])) or "settings"
        top = str(detail["loc"][0]) if detail["loc"] else ""
        origin = f"--{top}" if top in flags else variable(top) if top in environment else str(path or "defaults")
        if detail["type"] == "extra_forbidden":
            near = difflib.get_close_matches(top, Settings.model_fields, n=1)
            remedy = f"did you mean {near[0]}?" if near and len(detail["loc"]) == 1 else "remove it"
            yield Fault(field, f"unknown key in {origin}: {remedy}")
            continue
        message = detail["msg"].removeprefix("Value error, ")
        remedy = f" (from {origin}; expected: {meaning(top)})" if top in Settings.model_fields else ""
        yield Fault(field, message + remedy)
