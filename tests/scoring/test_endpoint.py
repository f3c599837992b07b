"""Scoring through a server: the values of the model behind it, and a refusal in one line for every fault."""

import numpy as np
import pytest

import l2m
from fake_server import FAULTS, FakeServer
from l2m.scoring.server_self_test import check_servers
from l2m.scoring.windows import Windows
from texts import some_texts

APIS = ("vllm", "openai", "sglang", "lmdeploy")
LENGTH = 96
# What names each fault, in the line that refuses it.
WORDS = {
    "shift_late": "shifted",
    "shift_early": "shifted",
    "wrong_row": "shifted by one",
    "null_inside": "null at position 5",
    "nan_inside": "null at position 5",
    "bos_doubled": "adds a start token",
    "bos_doubled_untold": "puts a start token before it",
    "bos_dropped": "drops the start token",
    "bos_replaced": "start token changes no value",
    "retokenized": "tokenized again",
    "truncated": "truncated",
    "truncated_untold": "length|truncated|shifted",
    "generated_only": "generated tokens",
    "order": "depend on order",
    "batch": "depend on the batch",
    "cache": "cache of prefixes",
    "raw_logits": "raw logits",
    "raw_logits_negative": "raw logits",
    "clamped": "minus infinity",
    "clamped_quietly": "clamped",
    "temperature": "of a temperature of 0.7|of another temperature",
    "temperature_followed": "a temperature of 0.5 changes",
    "other_name": "another model",
}


@pytest.fixture(scope="module")
def corpus(tiny_model):
    encoder = l2m.scoring.resolve_model(tiny_model).encoder()
    return l2m.tokenize([text * 2 for text in some_texts(6)], encoder)


@pytest.fixture
def serve(tiny_model):
    """Starts servers of the tiny model, which end with the test."""
    started = []

    def start(**options):
        started.append(FakeServer(tiny_model, **options).__enter__())
        return started[-1]

    yield start
    for server in started:
        server.__exit__()


def endpoint(server, tiny_model, **options):
    return l2m.Endpoint(server.url, tokenizer=tiny_model, **{"concurrency": 8, "retries": 0, **options})


def windows(server_endpoint):
    """Two windows of ids that follow no order."""
    random = np.random.default_rng(3)
    return Windows(random.integers(1, server_endpoint.vocab_size, (2, LENGTH)), LENGTH)


def values_of(scores):
    """Every log-probability of a store."""
    kinds = [scores.conditional, *(scores.marginal(split) for split in scores.splits)]
    kinds += [scores.shuffled(split, k) for split in scores.splits for k in range(scores.shuffles)]
    return np.concatenate(
        [array.ravel() for array in [*kinds, *map(scores.given_contexts, scores.splits * (scores.contexts > 0))]]
    )


@pytest.mark.parametrize("api", APIS)
def test_the_values_are_those_of_the_model(api, serve, tiny_model, corpus, tmp_path):
    options = {"length": 32, "windows": 6, "contexts": 64, "splits": (2, 8), "seed": 1}
    here = l2m.score(corpus, tiny_model, out=tmp_path / "here", device="cpu", **options)
    server = serve(api=api)
    there = l2m.score(corpus, endpoint(server, tiny_model), out=tmp_path / "there", **options)
    # float32 in both, in batches of other sizes.
    assert np.abs(values_of(here) - values_of(there)).max() < 1e-4
    assert (here.bytes == there.bytes).all()
    assert l2m.bipartite(there).information == pytest.approx(l2m.bipartite(here).information, abs=1e-3)
    about = there.settings["model"]
    assert about["api"] == api
    assert about["name"] == "tiny"
    assert about["max_length"] == 2048
    assert about["version"] == {"vllm": "0.32.0", "sglang": "0.5.23"}.get(api)
    assert there.noise_floor < 1e-4
    bodies = server.requests
    assert all(isinstance(body.get("prompt", body.get("input_ids")), list) for body in bodies)
    assert {body.get("prompt", body.get("input_ids"))[0] for body in bodies[-50:]} == {0}
    if api == "sglang":
        # A shuffled pass wants the values of its Y alone, so that the prefix X is not scored again.
        late = [body["logprob_start_len"] for body in bodies]
        assert {2, 8} <= set(late)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_refused_in_one_line(api, fault, serve, tiny_model):
    if fault == "other_name" and api in ("sglang", "lmdeploy"):
        pytest.skip("their answers name no model")
    faulty = endpoint(serve(api=api, faults=[fault]), tiny_model)
    with pytest.raises(l2m.ServerFault, match=WORDS[fault]) as refused:
        check_servers(faulty, windows(faulty))
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("http://127.0.0.1:")


@pytest.mark.parametrize("api", APIS)
def test_a_sound_server_passes(api, serve, tiny_model):
    sound = endpoint(serve(api=api), tiny_model)
    report = check_servers(sound, windows(sound)).report
    assert report["noise_floor"] < 1e-5
    untested = [name for name, tested, _ in report["findings"] if not tested]
    assert untested == (["mass of the most probable ids", "precision"] if api == "lmdeploy" else [])
