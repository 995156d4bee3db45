"""The stages of a job as Prefect tasks, and the code that only they use. Deployed as a folder, not installed."""
