"""The files that a secret stands in: settings, code, logs, commands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final


@dataclass(frozen=True, slots=True)
class Case:
    """A file, and the lines of it (from 1) that hold a secret of this kind; none in a file without secrets."""

    path: str
    text: str
    kind: str
    lines: range

    @property
    def wanted(self) -> list[range]:
        return [self.lines] if self.lines else []


def snake(name: str) -> str:
    return name.lower()


def camel(name: str) -> str:
    first, *others = [word.lower() for word in name.split("_")] if name.isupper() or "_" in name else [name]
    return first + "".join(map(str.capitalize, others))


def kebab(name: str) -> str:
    return name.lower().replace("_", "-")


Line = Callable[[str, str], str]

NAMED: Final[dict[str, Line]] = {
    ".env": lambda name, value: f"{name}={value}",
    "deploy.sh": lambda name, value: f"export {name}='{value}'",
    "settings.yaml": lambda name, value: f"  {snake(name)}: {value}",
    "compose.yml": lambda name, value: f"      - {name}={value}",
    "config.json": lambda name, value: f'  "{camel(name)}": "{value}",',
    "settings.py": lambda name, value: f'{name} = "{value}"',
    "client.js": lambda name, value: f"const {camel(name)} = '{value}';",
    "options.ts": lambda name, value: f"  {camel(name)}: '{value}',",
    "Client.java": lambda name, value: f'    private static final String {name} = "{value}";',
    "main.go": lambda name, value: f'\t{camel(name)} := "{value}"',
    "worker.rb": lambda name, value: f'ENV["{name}"] = "{value}"',
    "main.tf": lambda name, value: f'  {snake(name)} = "{value}"',
    "app.properties": lambda name, value: f"{snake(name).replace('_', '.')}={value}",
    "app.ini": lambda name, value: f"{snake(name)} = {value}",
    "Dockerfile": lambda name, value: f"ENV {name} {value}",
    "app.php": lambda name, value: f"define('{name}', '{value}');",
    "Startup.cs": lambda name, value: f'    var {camel(name)} = "{value}";',
    "app.config": lambda name, value: f'    <add key="{camel(name)}" value="{value}" />',
}
"""Lines in which a variable's name tells what the value is."""

BARE: Final[dict[str, Line]] = {
    "service.log": lambda _, value: (
        f"2026-03-14T09:26:53.589Z DEBUG http-client request failed auth={value} status=401"
    ),
    "notes.md": lambda _, value: f"Use `{value}` until the new one is there.",
    "request.sh": lambda _, value: f'curl -s -H "Authorization: Bearer {value}" https://api.acme.io/v1/items',
    "chat.txt": lambda _, value: f"[10:42] maria: here it is: {value} , please don't share it",
    "events.ndjson": lambda _, value: f'{{"ts":1700000000,"level":"warn","msg":"rejected {value}","code":401}}',
}
"""Lines in which nothing but the value's own form tells what it is."""

_AROUND: Final = {
    "py": ("import os", "", "DEBUG = False", "TIMEOUT = 30"),
    "js": ("import http from 'node:http';", "", "const retries = 3;", "const timeout = 2500;"),
    "ts": ("export const options = {", "  retries: 3,", "  timeout: 2500,", "  verbose: false,"),
    "java": ("class Client {", "    private int retries = 3;", "", "    private long timeout = 2500;"),
    "go": ("package main", "", "func main() {", "\tretries := 3"),
    "json": ("{", '  "retries": 3,', '  "timeout": 2500,', '  "region": "eu-west-1",'),
    "ndjson": ('{"ts":1700000000,"level":"info","msg":"started","code":0}',) * 2,
    "yaml": ("service:", "  retries: 3", "  timeout: 2500"),
    "yml": ("services:", "  web:", "    environment:", "      - RETRIES=3"),
    "cs": ("class Startup {", "    int retries = 3;"),
    "php": ("<?php", "$retries = 3;"),
    "config": ("<configuration>", "  <appSettings>"),
    "tf": ('provider "acme" {', "  retries = 3"),
    "log": ("2026-03-14T09:26:53.101Z INFO http-client connecting", "2026-03-14T09:26:53.412Z INFO http-client sent"),
}
_PLAIN: Final = ("RETRIES=3", "TIMEOUT=2500", "REGION=eu-west-1")


def placed(name: str, line: str, kind: str, folder: str, random: Random) -> Case:
    """The line in a file of this name, between ordinary ones. A line may be several."""
    around: Sequence[str] = _AROUND.get(name.rpartition(".")[2], _PLAIN)
    before = random.randrange(1, len(around))
    height = line.count("\n") + 1
    text = "\n".join([*around[:before], line, *around[before:], ""])
    return Case(f"{folder}/{name}", text, kind, range(before + 1, before + 1 + height))
