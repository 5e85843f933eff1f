"""Benchmarks: each measures the service beside its own floor, in the same run, and prints the ratio."""
