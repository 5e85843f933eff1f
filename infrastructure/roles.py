"""Which roles of `python -m workers` share a process."""

from typing import Final

COORDINATOR_ROLES: Final = ("orchestrator", "recorder", "projector")

FOLLOWER_ROLES: Final = ("publisher", "seal", "webhooks")
"""What follows the log for others, and must not hold up the ring."""
