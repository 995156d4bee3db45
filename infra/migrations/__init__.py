"""The ledger's migrations (alembic), the same for SQLite and PostgreSQL.

`tasks.ledger_database.upgrade` applies them, from an installed package as well as from a clone. A new one is written by
`alembic -c infra/migrations/alembic.ini -x url=sqlite:///ledger.sqlite revision --autogenerate -m WHY`.
"""
