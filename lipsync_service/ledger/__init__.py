"""The ledger: jobs, stage timings, frame outcomes and idempotency keys, in PostgreSQL or SQLite."""
