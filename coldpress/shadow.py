"""A stage's shadow as AWS tells it now: which version it is, and how its answers compare with those given."""

from typing import NamedTuple

from coldpress.deployed import Deployed
from coldpress.figures import Source, figures_of_a_day, of_model, variables


class Shadow(NamedTuple):
    """The second version that a serving one sends a share of its requests to, and the last day's figures.

    ``digest`` and ``version`` are empty where its function is gone. ``agreement``: from 0 to 1, None where
    nothing was compared. ``unsent``: requests that could not be sent to it; ``dropped``: those that its queue
    dropped.
    """

    function: str
    version: str
    digest: str
    share: float
    requests: int
    errors: int
    agreement: float | None
    unsent: int
    dropped: int


def read_shadow(deployed: Deployed) -> Shadow | None:
    """The shadow of the version that serves, if it has one."""
    serving = deployed.serving
    live = variables(deployed.function, str(serving.number))
    function = live.get("COLDPRESS_SHADOW_FUNCTION")
    if not function:
        return None
    share, own = float(live.get("COLDPRESS_SHADOW_SHARE", "0")), variables(function)
    if not own:
        return Shadow(function, "", "", share, 0, 0, None, 0, 0)
    version = own.get("COLDPRESS_VERSION", "1")
    figures = figures_of_a_day(
        {
            "requests": (of_model(serving.model, version), "ShadowRequests", "Sum"),
            "errors": (of_model(serving.model, version), "ShadowErrors", "Sum"),
            "agreed": (of_model(serving.model, version), "ShadowAgreement", "Sum"),
            "compared": (of_model(serving.model, version), "ShadowAgreement", "SampleCount"),
            "failures": (of_model(serving.model, serving.model_version), "ShadowFailures", "Sum"),
            "large": (of_model(serving.model, serving.model_version), "ShadowTooLarge", "Sum"),
            "dropped": (Source("AWS/Lambda", {"FunctionName": function}), "AsyncEventsDropped", "Sum"),
        }
    )
    return Shadow(
        function=function,
        version=version,
        digest=own.get("COLDPRESS_DIGEST", ""),
        share=share,
        requests=int(figures["requests"]),
        errors=int(figures["errors"]),
        agreement=figures["agreed"] / figures["compared"] if figures["compared"] else None,
        unsent=int(figures["failures"] + figures["large"]),
        dropped=int(figures["dropped"]),
    )
