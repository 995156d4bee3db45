"""Measures how a service scales: inputs of its own, load, the machine's account, and findings from the figures."""
