"""The settings of the service's tests, for the tests of the tasks as well."""

from tests.service.conftest import settings

__all__ = ["settings"]  # a fixture
