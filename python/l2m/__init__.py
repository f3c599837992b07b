"""l2m: how much long-range information a sequence carries, and how much memory a model needs to hold it.

Method: Chen, Mayné i Comas, Jin, Luo, Soljačić, "L²M: Mutual Information Scaling Law for Long-Context Language
Modeling", NeurIPS 2025 (arXiv 2503.04725). All values are in nats; `.to("bits")` converts.
"""

from l2m._core import __version__
from l2m.bipartite import BipartiteCurve, bipartite
from l2m.condition import Comparison, Threshold, Verdict, compare_models, condition
from l2m.corpus import Corpus
from l2m.curve_comparison import CurveComparison, compare_curves
from l2m.design import Design, design
from l2m.entropy import (
    ENTROPY_ESTIMATORS,
    EntropyTable,
    Estimate,
    Fingerprint,
    entropy,
    entropy_table,
    fingerprint,
)
from l2m.errors import InputError
from l2m.gaussian import GaussianFilter, GaussianGrowth, GaussianTwoPoint, HierarchicalGaussian
from l2m.history_state import HistoryState, history_state
from l2m.joint_entropy import (
    BlockEntropies,
    JointEntropy,
    block_entropies,
    jensen_shannon,
    joint_entropy,
    kullback_leibler,
)
from l2m.measure import Domain, Measurement, measure
from l2m.near_duplicates import near_duplicates
from l2m.ngrams import NgramCounts, ngrams
from l2m.position_nll import PositionCurve, position_nll
from l2m.power_law import Logarithm, PowerLaw, fit_logarithm, fit_power_law
from l2m.records import Record, load
from l2m.scoring import Scores, score
from l2m.tokenize import tokenize
from l2m.training.collapse import Collapse
from l2m.training.evaluation import KLCurve
from l2m.two_point import TwoPointCurve, TwoPointJob, mutual_information, two_point

__all__ = [
    "ENTROPY_ESTIMATORS",
    "BipartiteCurve",
    "BlockEntropies",
    "Collapse",
    "Comparison",
    "Corpus",
    "CurveComparison",
    "Design",
    "Domain",
    "EntropyTable",
    "Estimate",
    "Fingerprint",
    "GaussianFilter",
    "GaussianGrowth",
    "GaussianTwoPoint",
    "HierarchicalGaussian",
    "HistoryState",
    "InputError",
    "JointEntropy",
    "KLCurve",
    "Logarithm",
    "Measurement",
    "NgramCounts",
    "PositionCurve",
    "PowerLaw",
    "Record",
    "Scores",
    "Threshold",
    "TwoPointCurve",
    "TwoPointJob",
    "Verdict",
    "__version__",
    "bipartite",
    "block_entropies",
    "compare_curves",
    "compare_models",
    "condition",
    "design",
    "entropy",
    "entropy_table",
    "fingerprint",
    "fit_logarithm",
    "fit_power_law",
    "history_state",
    "jensen_shannon",
    "joint_entropy",
    "kullback_leibler",
    "load",
    "measure",
    "mutual_information",
    "near_duplicates",
    "ngrams",
    "position_nll",
    "score",
    "tokenize",
    "two_point",
]
