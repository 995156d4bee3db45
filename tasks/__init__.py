"""Stages as Prefect tasks, and what they need around them: storage, ledger, settings. Installed as extra `service`."""
