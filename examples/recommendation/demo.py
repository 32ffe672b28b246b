"""The recommender from weights to a watched endpoint: python -m examples.recommendation.demo.

People ask for films; then a client sends the films by the numbers of another catalogue.
"""

import sys
from itertools import islice

import numpy as np

from examples.emulated import Endpoint, endpoint, optimize
from examples.recommendation.data import WORK, Sample, evaluation, feedback

_PEOPLE = 400


def main() -> int:
    """Press, deploy, ask, watch; the exit status is 0 where the right things were noticed."""
    bundle = optimize(
        *("examples.recommendation.model:two_towers", "--state-dict", str(WORK / "weights.pt")),
        *("--calibration", "examples.recommendation.data:calibration"),
        *("--evaluation", "examples.recommendation.data:evaluation"),
        *("--metric", "examples.recommendation.data:hit_rate", "--max-drop", "0.01"),
        *("--name", "recommendation", "-o", str(WORK / "bundles")),
    )
    print(f"bundle {bundle}")
    titles = feedback().titles
    with endpoint(bundle, WORK) as deployed:
        people = list(islice(evaluation(), 2 * _PEOPLE))
        (items,) = deployed.predict("first", history=people[0]["history"].tolist())["items"]
        watched = [titles[film] for film in people[0]["history"][0][-3:]]
        print(f"after {', '.join(watched)}: {', '.join(titles[film] for film in items[:5])}")
        is_right = _ask(deployed, people[:_PEOPLE], "as trained")
        for sample in people[_PEOPLE:]:
            known = sample["history"] > 0
            sample["history"] = np.where(known, len(titles) - sample["history"], 0)
        is_noticed = not _ask(deployed, people[_PEOPLE:], "numbered otherwise")
    return 0 if is_right and is_noticed else 1


def _ask(deployed: Endpoint, people: list[Sample], what: str) -> bool:
    """Whether the watching says that all is right, after these requests too."""
    for number, sample in enumerate(people):
        deployed.predict(f"{what}-{number}", history=sample["history"].tolist())
    is_right, said = deployed.watch(WORK / "watch.html")
    print(f"{len(people)} requests {what}:\n{said}")
    return is_right


if __name__ == "__main__":
    sys.exit(main())
