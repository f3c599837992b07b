"""Training where the truth is known, and on text: config, data, one loop, evaluation by position, sweeps."""
