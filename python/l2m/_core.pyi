"""The Rust core. Private: the modules of `l2m` are its public face."""

__version__: str

# --- counting (pairs, n-grams, null model) ---

# --- entropy ---

# --- fits ---

# --- gaussian ---
