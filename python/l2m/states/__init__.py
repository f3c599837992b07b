"""Models to verdicts: the history state of each family and the L²M condition."""
