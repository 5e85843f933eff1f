"""Tiers: what a tenant may ask for."""

from dataclasses import dataclass

from domain.errors import TierLimitExceeded


@dataclass(frozen=True, slots=True)
class Tier:
    """`max_files` objects planned and `max_workers` chunks in work at once, per scan."""

    name: str
    max_files: int
    max_workers: int
    requests_per_minute: int

    def files(self, requested: int | None) -> int:
        """The number of objects a scan may plan: as requested, by default the ceiling. Raises TierLimitExceeded."""
        return self._within("options.max_files", requested, self.max_files)

    def workers(self, requested: int | None) -> int:
        """The number of chunks a scan may have in work at once, likewise."""
        return self._within("options.max_workers", requested, self.max_workers)

    def _within(self, field: str, requested: int | None, limit: int) -> int:
        if requested is not None and requested > limit:
            raise TierLimitExceeded(field, requested, limit, self.name)
        return limit if requested is None else requested
