"""Train the model, as anybody would: python -m examples.credit.train."""

import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import make_pipeline

from examples.credit.data import WORK, train

MODEL = WORK / "credit.skops"


def main() -> None:
    """Five times boosted trees, of which each is calibrated on the fifth that it did not see."""
    columns, defaulted = train()
    trees = GradientBoostingClassifier(n_estimators=200, max_depth=3, learning_rate=0.05, random_state=0)
    pipeline = make_pipeline(CalibratedClassifierCV(trees, method="isotonic", cv=5))
    skops.io.dump(pipeline.fit(columns, defaulted), MODEL)


if __name__ == "__main__":
    main()
