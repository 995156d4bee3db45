"""Lends the settings of the service's tests to the tests of the tasks."""

from tests.service.conftest import settings

__all__ = ["settings"]  # a fixture
