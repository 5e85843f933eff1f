"""What every test may ask for."""

import os
import tempfile

# What is compiled once is kept for all tests, apart from what their user keeps.
os.environ["XDG_CACHE_HOME"] = os.path.join(tempfile.gettempdir(), f"scanledger-tests-cache-{os.geteuid()}")  # noqa: PTH118

pytest_plugins = [
    "tests.fixtures_s3",
    "tests.fixtures_servers",
    "tests.fixtures_api",
    "tests.fixtures_webhooks",
    "tests.hypothesis_profile",
]
