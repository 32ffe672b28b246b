"""Other projects' clients, unchanged, against `coldpress serve` and through API Gateway to Lambda.

What each client asks is in ``ask_<client>.py``, which runs in that client's own environment.
"""

import pytest

from tests.clients.conftest import Asking, Served

pytestmark = pytest.mark.slow


def test_tritonclient(ask: Asking, served: Served) -> None:
    ask("tritonclient", served.every_datatype)


def test_mlserver_codecs(ask: Asking, served: Served) -> None:
    ask("mlserver", served.every_datatype)


def test_kserve(ask: Asking, served: Served) -> None:
    ask("kserve", served.half_plus_three)


def test_a_generated_client(ask: Asking, served: Served) -> None:
    ask("openapi", served.half_plus_three)


def test_tritonclient_through_the_gateway(ask: Asking, deployed: Served) -> None:
    ask("tritonclient", deployed.every_datatype)


def test_mlserver_codecs_through_the_gateway(ask: Asking, deployed: Served) -> None:
    ask("mlserver", deployed.every_datatype)


def test_kserve_through_the_gateway(ask: Asking, deployed: Served) -> None:
    ask("kserve", deployed.half_plus_three)


def test_a_generated_client_through_the_gateway(ask: Asking, deployed: Served) -> None:
    ask("openapi", deployed.half_plus_three)
