"""The servers `scanledger up` brings along: PostgreSQL and NATS as child processes on loopback."""
