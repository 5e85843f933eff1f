"""How fast detection is on one core, beside the peers on the same files."""
