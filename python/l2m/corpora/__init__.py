"""Text and token ids in any format to a `Corpus`."""
