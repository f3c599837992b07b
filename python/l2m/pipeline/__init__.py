"""The main job: text and a model in, laws, a verdict and a report out."""
