"""Log-probabilities of windows of text under a language model."""

from l2m.scoring.models import ModelSource, resolve_model

__all__ = ["ModelSource", "resolve_model"]
