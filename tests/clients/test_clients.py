"""Other projects' clients, unchanged, against `coldpress serve`.

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
