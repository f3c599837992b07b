"""Models found by name, their start tokens, and the one reader of weights."""

import json

import numpy as np
import pytest

import l2m
from l2m import scoring
from tiny_models import random_model


def test_start_tokens(tiny_model, tmp_path):
    """A chat-control token never stands in by itself; padding side plays no part, since nothing is padded."""
    assert scoring.resolve_model(tiny_model).start_token()[1:] == ("<|endoftext|>", "the model's own")
    copy = tmp_path / "chat"
    copy.mkdir()
    for file in tiny_model.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    chat = {"id": 300, "content": "<|im_start|>", "special": True}
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], **chat})
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = json.loads((copy / "tokenizer_config.json").read_text())
    for padding in ("left", "right"):
        (copy / "tokenizer_config.json").write_text(
            json.dumps({**config, "bos_token": "<|im_start|>", "padding_side": padding})
        )
        number, name, why = scoring.resolve_model(copy).start_token()
        assert (number, name) == (0, "<|endoftext|>")
        assert "chat-control" in why
    assert scoring.resolve_model(copy).start_token("<|im_start|>") == (300, "<|im_start|>", "named by the user")
    assert scoring.resolve_model(copy).start_token("299")[0] == 299
    with pytest.raises(l2m.InputError, match="start_token: 'nope'"):
        scoring.resolve_model(copy).start_token("nope")
    model = random_model("llama")
    model.config.bos_token_id = None
    with pytest.raises(l2m.InputError, match="start_token: None"):
        scoring.score(l2m.Corpus([np.arange(90)] * 2), model, out=tmp_path / "s", length=32)
