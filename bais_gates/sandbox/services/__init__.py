"""The servers and programs that the supervisor runs: PostgreSQL, Redis, and modules of this package."""
