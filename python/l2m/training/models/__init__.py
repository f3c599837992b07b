"""Models to train: presets of the paper's tables, with continuous input for the Gaussian language or a vocabulary for text."""

from l2m.training.models.presets import PRESETS, Preset, backbone_config, preset

__all__ = ["PRESETS", "Preset", "backbone_config", "preset"]
