"""Ten thousand generated requests of each protocol: no 5xx, and no answer that /openapi.json has not."""

from pathlib import Path

import pytest

from tests.clients.conftest import Asking, serving
from tests.clients.models import half_plus_three, scores, words
from tests.handlers.bundles import write_bundle

MODELS = {"half-plus-three": half_plus_three, "scores": scores, "words": words}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("name", MODELS)
def test_every_answer_is_described(ask: Asking, tmp_path: Path, name: str) -> None:
    labels = ["a", "b", "c"] if name == "scores" else []
    with serving(write_bundle(tmp_path, MODELS[name](), name=name, labels=labels)) as url:
        ask("schemathesis", url)
