"""How Hypothesis works here: no deadlines on a shared machine, and no files left beside the sources."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "scanledger", max_examples=70, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("scanledger")
