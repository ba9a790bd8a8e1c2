"""What `souk up` knows of the services."""

from importlib import import_module

import pytest
from souk_cli.services import Service, installed
from souk_common.settings import ServiceSettings


@pytest.mark.parametrize("service", installed().values(), ids=lambda service: service.name)
def test_every_variable_that_a_service_is_given_is_a_setting_of_it(service: Service):
    settings: type[ServiceSettings] = getattr(import_module(f"{service.module}.settings"), f"{service.name.title()}Settings")
    named = (service.folder_setting, service.redis_setting, service.database_setting, service.cache_setting)
    given = {name for name in named if name} | {"PORT", "HTTP_PORT", "READY_FILE", "MONITOR_ENDPOINT"}
    assert given <= {name.upper() for name in settings.model_fields}
