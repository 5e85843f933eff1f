"""What a tier allows."""

import pytest

from domain.errors import TierLimitExceeded
from domain.tier import Tier

FREE = Tier("free", max_files=1000, max_workers=2, requests_per_minute=60)


@pytest.mark.parametrize(("requested", "allowed"), [(None, 1000), (1, 1), (1000, 1000)])
def test_up_to_the_ceiling_a_request_stands_and_none_means_the_ceiling(requested: int | None, allowed: int) -> None:
    assert FREE.files(requested) == allowed


def test_above_the_ceiling_the_error_names_field_request_limit_and_tier() -> None:
    with pytest.raises(TierLimitExceeded) as caught:
        FREE.workers(3)
    error = caught.value
    assert (error.field, error.requested, error.limit, error.tier) == ("options.max_workers", 3, 2, "free")
    assert error.permanent
