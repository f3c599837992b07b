"""Shared by the tests of scoring."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Models this small only wait for each other's threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
