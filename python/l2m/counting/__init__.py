"""Corpora to counts: two-point information and n-grams, as tasks whose results add."""
