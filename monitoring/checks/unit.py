"""Wrong unit: values are what they were, times a factor or on another scale.

A factor moves the mean of the magnitudes' logarithms and nothing else of them; a scale such as Fahrenheit
moves mean and spread together. Both are held against what the number of values allows (standard errors of a
mean).
"""

from collections.abc import Iterator

import numpy as np

from monitoring.baseline import Numbers
from monitoring.checks.base import Finding
from monitoring.view import View

NAME = "wrong unit"
_LEAST_VALUES = 32
_ERRORS = 4.0
_SIZES = {
    **{10.0**power: f"{10**power:,}" for power in range(1, 10)},
    1024.0: "1,024",
    1024.0**2: "1,024 x 1,024",
    2.54: "2.54 (inches and centimetres)",
    25.4: "25.4 (inches and millimetres)",
    3.28084: "3.281 (metres and feet)",
    1.609344: "1.609 (miles and kilometres)",
    2.204623: "2.205 (kilograms and pounds)",
    28.349523: "28.35 (ounces and grams)",
    60.0: "60 (minutes and seconds)",
    3600.0: "3,600 (hours and seconds)",
    86400.0: "86,400 (days and seconds)",
    200.0: "200 (carats and milligrams)",
    57.29578: "57.3 (radians and degrees)",
    4.184: "4.184 (calories and joules)",
}
_SCALES = (
    (1.8, 32.0, "degrees Fahrenheit, not Celsius"),
    (1 / 1.8, -32 / 1.8, "degrees Celsius, not Fahrenheit"),
    (1.0, 273.15, "kelvins, not degrees Celsius"),
    (1.0, -273.15, "degrees Celsius, not kelvins"),
)


def find(view: View) -> Iterator[Finding]:
    """At most one for each numeric feature."""
    for index, (feature, numbers) in enumerate(
        zip(view.baseline.features, view.baseline.numbers, strict=True)
    ):
        count = float(view.lately.values[index])
        if feature.categories is not None or not feature.raw or count < _LEAST_VALUES or numbers.std == 0:
            continue
        mean = float(view.lately.total[index]) / count
        spread = float(np.sqrt(max(view.lately.squares[index] / count - mean**2, 0)))
        what = _scale(numbers, count, mean, spread)
        nonzero = float(view.lately.nonzero[index])
        if (
            what is None
            and nonzero >= _LEAST_VALUES
            and numbers.log_mean is not None
            and mean * numbers.mean > 0
        ):
            logs = float(view.lately.logs[index]) / nonzero
            spread = float(np.sqrt(max(view.lately.log_squares[index] / nonzero - logs**2, 0)))
            what = _factor(numbers, nonzero, logs, spread)
        if what is not None:
            text = f"the values look {what}: mean {mean:.6g}, and {numbers.mean:.6g} in the calibration data."
            yield Finding(check=NAME, feature=feature.name, text=text, now=mean, before=numbers.mean)


def _factor(numbers: Numbers, count: float, logs: float, spread: float) -> str | None:
    assert numbers.log_mean is not None  # noqa: S101 - asked only where there is one
    step = logs - numbers.log_mean
    if abs(spread - numbers.log_std) > numbers.log_std * _ERRORS / np.sqrt(count) + 1e-3:
        return None
    error = numbers.log_std * np.sqrt(1 / count + 1 / max(numbers.present, 1)) + 1e-3
    if abs(step) < np.log(1.5) or abs(step) < 2 * _ERRORS * error:
        return None
    size, title = min(_SIZES.items(), key=lambda item: abs(abs(step) - np.log(item[0])))
    if abs(abs(step) - np.log(size)) > _ERRORS * error:
        return None
    return f"{'multiplied' if step > 0 else 'divided'} by {title}"


def _scale(numbers: Numbers, count: float, mean: float, spread: float) -> str | None:
    for slope, offset, title in _SCALES:
        wanted, width = slope * numbers.mean + offset, slope * numbers.std
        error = width * np.sqrt(1 / count + 1 / max(numbers.present, 1))
        apart = abs(mean - numbers.mean) > 2 * _ERRORS * error
        if (
            apart
            and abs(mean - wanted) < _ERRORS * error
            and abs(spread / width - 1) < _ERRORS / np.sqrt(count)
        ):
            return f"like {title}"
    return None
