"""Small real things that several tests share."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

# Small tensors gain nothing from a second thread, and on a busy machine its barriers cost a hundred times the work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from hypothesis import settings

from browser import HOW, chromium
from texts import some_texts

settings.register_profile("l2m", deadline=None, derandomize=True)
settings.load_profile("l2m")


@pytest.fixture(autouse=True)
def logging_of_a_library() -> Iterator[None]:
    """The logger as a library has it, whatever a command line in this process made of it in an earlier test."""
    logger = logging.getLogger("l2m")
    before = logger.handlers[:], logger.propagate, logger.level
    logger.handlers[:], logger.propagate = [], True
    logger.setLevel(logging.NOTSET)
    yield
    logger.handlers[:], logger.propagate = before[0], before[1]
    logger.setLevel(before[2])


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """A Chromium. Without one: skipped, or with L2M_REQUIRE_BROWSER=1 failed, as CI has it."""
    found = chromium()
    if found is None and os.environ.get("L2M_REQUIRE_BROWSER"):
        pytest.fail(HOW)
    return found or pytest.skip(HOW)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random 2-layer Llama with a byte-level BPE tokenizer: the real loading path at the least size."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-llama")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(some_texts(4), trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    ).save_pretrained(folder)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
