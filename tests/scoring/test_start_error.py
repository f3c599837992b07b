"""What is said of the start of Y where nothing in a store tells."""

import l2m
from l2m.truth.sources import GaussianSource


def test_a_value_below_zero_is_no_sign_of_a_wrong_start(tmp_path) -> None:
    """Real numbers have no n-grams, and vCLUB no marginal: `start_error` is None, and noise below 0 stays noise."""
    law = l2m.HierarchicalGaussian(3, 2)
    scores = l2m.score(law.sample(12, seed=3)[0], GaussianSource(law), out=tmp_path, length=64, ratios=(2,))
    for estimator in ("direct", "vclub"):
        curve = l2m.bipartite(scores, estimator=estimator)
        below = curve.shifted(-curve.information.min() - 0.01)
        assert curve.start_error is None
        assert below.fit(min_split=2).settings["dominated"] == []
