"""The whole service on one machine, without containers: `python -m infra.local up` and `down`."""
