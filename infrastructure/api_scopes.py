"""What an API key may be allowed to do. Each operation of the API names the scope it needs; `admin` includes all."""

from typing import Final

SCOPES: Final = ("scans:read", "scans:write", "connectors:write", "audit:read", "admin")
USUAL_SCOPES: Final = tuple(scope for scope in SCOPES if scope != "admin")
"""What a key gets that is made without saying what for."""
