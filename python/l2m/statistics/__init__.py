"""Numbers to estimates: entropies, information, curves and the laws that describe them."""
