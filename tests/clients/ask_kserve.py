"""KServe's REST client, by the Open Inference Protocol and by version 1."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import numpy as np
from checks import run
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

MODEL = "half-plus-three"
SENT, EXPECTED = [1.0, 2.0, 5.0], [3.5, 4.0, 5.5]
Check = Callable[[InferenceRESTClient, str], Coroutine[Any, Any, None]]


def speaking(protocol: str, check: Check) -> Callable[[str], None]:
    async def asked(url: str) -> None:
        async with InferenceRESTClient(RESTConfig(protocol=protocol)) as client:
            await check(client, url)

    def run_it(url: str) -> None:
        asyncio.run(asked(url))

    run_it.__name__ = f"{check.__name__} {protocol}"
    return run_it


async def check_health(client: InferenceRESTClient, url: str) -> None:
    assert await client.is_server_ready(url) is True
    assert await client.is_server_live(url) is True


async def check_model_ready(client: InferenceRESTClient, url: str) -> None:
    assert await client.is_model_ready(url, MODEL) is True
    assert await client.is_model_ready(url, "another") is False


async def check_infer_v1(client: InferenceRESTClient, url: str) -> None:
    answer = await client.infer(url, {"instances": SENT}, MODEL)
    assert answer == {"predictions": EXPECTED}


async def check_infer_v2(client: InferenceRESTClient, url: str) -> None:
    for binary in (True, False):
        given = InferInput("x", [3], "FP32")
        given.set_data_from_numpy(np.array(SENT, np.float32), binary_data=binary)
        outputs = [RequestedOutput("y", {"binary_data": binary})]
        for asked in (outputs, None):
            request = InferRequest(MODEL, [given], request_id="7", request_outputs=asked)
            answer = await client.infer(url, request, MODEL)
            assert (answer.id, answer.model_name) == ("7", MODEL)
            np.testing.assert_array_equal(answer.outputs[0].as_numpy(), np.array(EXPECTED, np.float32))


async def check_refused(client: InferenceRESTClient, url: str) -> None:
    sentence = ""
    try:
        await client.infer(url, {"inputs": "a number"}, MODEL)
    except httpx.HTTPStatusError as error:
        sentence = str(error)
    # The client takes the sentence out of {"error": ...}; the words of a status are each server's own.
    assert "400 bad request" in sentence.lower()
    assert "{" not in sentence


if __name__ == "__main__":
    run(
        speaking("v2", check_health),
        speaking("v2", check_model_ready),
        speaking("v2", check_infer_v2),
        speaking("v2", check_refused),
        speaking("v1", check_infer_v1),
        speaking("v1", check_refused),
    )
