"""The ledger's migrations (alembic), the same for SQLite and PostgreSQL.

`lipsync_service.ledger.database.upgrade` applies them, from an installed package as well as from a clone.
To write a new one, in this folder: `alembic -x url=sqlite:///ledger.sqlite revision --autogenerate -m WHY`.
"""
