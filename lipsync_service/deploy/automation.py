"""Removes the automation of earlier releases that marked silent runs as crashed.

It looked at events alone. A run whose end it had not heard of, since the server was down at that moment, was marked
while it waited for its next attempt, and failed by crashes that were none. The watcher looks at the run's state first.
"""

from prefect.client.orchestration import SyncPrefectClient

NAME = "lipsync: a run that fell silent has crashed"


def drop_automation(client: SyncPrefectClient) -> None:
    """Remove the automation, if it is there."""
    for automation in client.read_automations_by_name(NAME):
        client.delete_automation(automation.id)
