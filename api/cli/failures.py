"""How a command ends: the exit codes, and errors a person can act on.

0 done (a scan: completed) · 1 error · 2 wrong usage · 3 scan failed · 4 scan partial · 5 scan cancelled · 10 findings
(of `detect`) or rows that differed (of `views rebuild`) · 130 interrupted by Ctrl-C · 143 ended by SIGTERM
"""

from collections.abc import Sequence
from typing import IO, Any, Final

import click

from api.cli.text import printable

ERROR: Final = 1
USAGE: Final = 2
FOUND: Final = 10
DIFFERENT: Final = 10
INTERRUPTED: Final = 130
TERMINATED: Final = 143

EXIT_OF_STATUS: Final = {"completed": 0, "failed": 3, "partial": 4, "cancelled": 5}
"""What watching a scan to its end exits with."""


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: everything ends as on Ctrl-C, but for the exit code."""


class Failure(click.ClickException):
    """Ends the command: one sentence on stderr, then `details`, one a line. Hostile characters are escaped."""

    exit_code = ERROR

    def __init__(self, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"Error: {printable(self.message)}", file=file, err=file is None)
        for detail in self.details:
            click.echo(f"  {printable(detail)}", file=file, err=file is None)


class Misuse(Failure):
    """The command line or the settings are wrong; nothing was done."""

    exit_code = USAGE


class ApiFailure(Failure):
    """The service refused a request. `code` is the API's, `status` the HTTP status (0: no answer at all)."""

    def __init__(self, status: int, code: str, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message, details)
        self.status = status
        self.code = code
