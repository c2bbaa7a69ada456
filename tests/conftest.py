"""The ``entry`` fixture: a test that takes it runs on every loss of the catalogue, under the loss's name."""

import pytest

from losscli.loss import Loss, catalogue


@pytest.fixture(params=catalogue().values(), ids=lambda loss: loss.name)
def entry(request: pytest.FixtureRequest) -> Loss:
    return request.param
