"""The watcher: tells callers that their jobs have ended, takes up jobs whose worker vanished, and counts."""
