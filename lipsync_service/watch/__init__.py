"""The watcher: reports ended jobs to their callers, restarts jobs whose worker vanished, and serves figures."""
