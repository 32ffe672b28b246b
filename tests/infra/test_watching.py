"""`coldpress cost` reckons with as much watching as a stage has."""

from collections.abc import Callable
from typing import Any

from coldpress import bill
from handlers.inference import metrics


def test_the_bill_counts_what_the_template_has(synthesise: Callable[..., Any]) -> None:
    stage = {"model": {"name": "ocr", "digest": "0123456789abcdef" * 4}}
    template = synthesise(stage).stack("coldpress-dev")
    assert len(template.all("AWS::CloudWatch::Alarm")) == bill.ALARMS
    assert len(template.all("AWS::CloudWatch::Dashboard")) == bill.DASHBOARDS
    assert metrics._METRICS.count('"Name"') == bill.METRICS
