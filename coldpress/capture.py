"""What a stage's capture lost within a day, as AWS tells it."""

from typing import NamedTuple

from coldpress.deployed import Deployed
from coldpress.figures import Source, figures_of_a_day, of_model, variables


class Lost(NamedTuple):
    """Of the version that serves.

    ``unsent``: requests that Firehose did not take; ``large``: those that its records do not hold;
    ``undelivered``: tries to put an object that failed; ``behind_s``: how old the oldest waiting record was.
    """

    stream: str
    unsent: int
    large: int
    undelivered: int
    behind_s: int


def read_lost(deployed: Deployed) -> Lost | None:
    """What was lost, if the version that serves captures at all."""
    serving = deployed.serving
    stream = variables(deployed.function, str(serving.number)).get("COLDPRESS_CAPTURE_STREAM")
    if not stream:
        return None
    model, firehose = (
        of_model(serving.model, serving.model_version),
        Source("AWS/Firehose", {"DeliveryStreamName": stream}),
    )
    figures = figures_of_a_day(
        {
            "unsent": (model, "CaptureFailures", "Sum"),
            "large": (model, "CaptureTooLarge", "Sum"),
            "tries": (firehose, "DeliveryToS3.Success", "SampleCount"),
            "successes": (firehose, "DeliveryToS3.Success", "Sum"),
            "behind": (firehose, "DeliveryToS3.DataFreshness", "Maximum"),
        }
    )
    return Lost(
        stream=stream,
        unsent=int(figures["unsent"]),
        large=int(figures["large"]),
        undelivered=round(figures["tries"] - figures["successes"]),
        behind_s=int(figures["behind"]),
    )
