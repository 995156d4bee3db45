"""Prefect flows: the service's jobs, one flow per file. `prefect.yaml` points here."""
