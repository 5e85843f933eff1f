"""What every test may ask for."""

pytest_plugins = ["tests.fixtures_s3", "tests.fixtures_servers", "tests.fixtures_api", "tests.hypothesis_profile"]
