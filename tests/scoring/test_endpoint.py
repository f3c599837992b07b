"""Scoring through a server: the values of the model behind it, and a refusal in one line for every fault."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import l2m
from base_install import make_site, run_in
from fake_server import FAULTS, FakeServer
from l2m.cli import main
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


def test_a_server_gives_no_entropy_of_its_predictions(serve, tiny_model, corpus, tmp_path):
    asked = {"length": 32, "windows": 4, "splits": (2,), "out": tmp_path / "scores", "entropy": True}
    with pytest.raises(l2m.InputError, match=r"^entropy: True of tiny, which does not give it; .*runs here"):
        l2m.score(corpus, endpoint(serve(api="vllm"), tiny_model), **asked)
    assert not (tmp_path / "scores").exists()


@pytest.mark.parametrize("api", APIS)
def test_the_values_are_those_of_the_model(api, serve, tiny_model, corpus, tmp_path):
    # Contexts are short requests by the hundred, sent alike in every form.
    options = {"length": 32, "windows": 4, "contexts": 64 * (api == "sglang"), "splits": (2, 8), "seed": 1}
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
    assert {body.get("prompt", body.get("input_ids"))[0] for body in bodies[-16:]} == {0}
    if api == "sglang":
        # A shuffled pass wants the values of its Y alone, so that the prefix X is not scored again.
        late = [body["logprob_start_len"] for body in bodies]
        blank_line = 2  # tokens of the default prefix here
        assert {blank_line + 2, blank_line + 8} <= set(late)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_refused_in_one_line(api, fault, serve, tiny_model):
    if fault == "other_name" and api in ("sglang", "lmdeploy"):
        pytest.skip("their answers name no model")
    # A batch is one only if requests meet.
    faulty = endpoint(serve(api=api, faults=[fault], seconds=0.02 * (fault == "batch")), tiny_model)
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


def test_a_tokenizer_without_weights_will_do_and_none_with_an_id(serve, tiny_model, corpus, tmp_path):
    alone = tmp_path / "tokenizer"
    alone.mkdir()
    (alone / "tokenizer.json").write_bytes((tiny_model / "tokenizer.json").read_bytes())
    (alone / "tokenizer_config.json").write_bytes((tiny_model / "tokenizer_config.json").read_bytes())
    server = serve()
    options = {"length": 16, "windows": 4, "shuffles": 0, "splits": (4,), "prefix": "none"}
    first = l2m.score(corpus, endpoint(server, alone), out=tmp_path / "first", **options)
    ids = first.settings["model"]["start_token"]
    rows = np.stack([corpus[d][s : s + 16] for d, s in zip(first.documents, first.starts, strict=True)])
    again = l2m.score(rows, endpoint(server, None, start_token=ids), out=tmp_path / "again", **options)
    assert (first.conditional == again.conditional).all()
    with pytest.raises(l2m.InputError, match="start_token: None without a tokenizer"):
        l2m.score(rows, endpoint(server, None), out=tmp_path / "none", **options)


@pytest.mark.parametrize("prefix", ["The next part:", ("none", "The next part:")])
def test_a_prefix_comes_before_every_request(prefix, serve, tiny_model, corpus, tmp_path):
    options = {"length": 16, "windows": 4, "splits": (4,), "prefix": prefix}
    here = l2m.score(corpus, tiny_model, out=tmp_path / "here", device="cpu", **options)
    server = serve(api="sglang")
    there = l2m.score(corpus, endpoint(server, tiny_model), out=tmp_path / "there", **options)
    assert np.abs(values_of(here) - values_of(there)).max() < 1e-4
    assert there.settings["prefix"] == here.settings["prefix"]


# --- Trouble ------------------------------------------------------------------------------------------------------------


def test_what_fails_is_tried_again_and_gives_the_same_values(serve, tiny_model, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("l2m.scoring.server_client._FIRST_PAUSE", 0.01)
    troubles = {3: 429, 7: 503, 11: "cut", 15: "garbage", 16: 500, 40: "cut", 41: 502, 45: "garbage"}
    options = {"length": 16, "windows": 6, "splits": (4,)}
    plain = l2m.score(corpus, endpoint(serve(), tiny_model), out=tmp_path / "plain", **options)
    server = serve(fail=troubles.get)
    tried = l2m.score(corpus, endpoint(server, tiny_model, retries=3, concurrency=4), out=tmp_path / "tried", **options)
    assert len(server.requests) > 50
    assert (values_of(plain) == values_of(tried)).all()


def test_a_time_out_is_tried_again(serve, tiny_model):
    server = serve(fail=lambda number: "hang" if number == 1 else None)
    patient = endpoint(server, tiny_model, retries=1, timeout=0.4)
    assert np.isfinite(patient.log_prob(np.array([[4, 5, 6]]))[0]).all()
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("failure", "words"), [(503, "503 busy"), ("cut", "incomplete|without sending"), ("garbage", "not JSON")]
)
def test_a_server_that_never_answers_is_one_line(failure, words, serve, tiny_model, monkeypatch):
    monkeypatch.setattr("l2m.scoring.server_client._FIRST_PAUSE", 0.01)
    hopeless = endpoint(serve(fail=lambda number: failure), tiny_model, retries=2)
    with pytest.raises(l2m.ServerFault, match=f"no answer to /v1/completions in 3 tries .*({words})"):
        hopeless.log_prob(np.array([[4, 5, 6]]))


def test_several_servers_share_the_work_and_one_may_die(serve, tiny_model, corpus, tmp_path):
    first, second = serve(), serve()
    options = {"length": 16, "windows": 6, "splits": (2, 4)}
    both = l2m.Endpoint([first.url, second.url], tokenizer=tiny_model, concurrency=4, retries=3)
    scores = l2m.score(corpus, both, out=tmp_path / "both", **options)
    asked = [len(server.requests) for server in (first, second)]
    assert min(asked) > 0.2 * sum(asked)
    second.__exit__()
    alone = both.log_prob(np.arange(4, 44).reshape(8, 5))[0]
    assert np.abs(alone - endpoint(first, tiny_model).log_prob(np.arange(4, 44).reshape(8, 5))[0]).max() < 1e-5
    assert np.isfinite(values_of(scores)).all()


def test_servers_that_differ_are_refused(serve, tiny_model, corpus, tmp_path):
    first = serve()
    for other, words in [(serve(scale=1.3), "another model than"), (serve(name="large"), "expected the same")]:
        both = l2m.Endpoint([first.url, other.url], tokenizer=tiny_model, concurrency=4, retries=0)
        with pytest.raises(l2m.ServerFault, match=words):
            l2m.score(corpus, both, out=tmp_path / words[:7], length=16, windows=4, splits=(4,))


def test_a_store_refuses_another_model(serve, tiny_model, corpus, tmp_path):
    """Another name, length or version by what the server says; another model of the same name by its values."""
    options = {"length": 16, "splits": (4,), "out": tmp_path / "scores"}
    l2m.score(corpus, endpoint(serve(), tiny_model), windows=3, **options)
    with pytest.raises(l2m.InputError, match=r"model\.max_length|model\.model"):
        l2m.score(corpus, endpoint(serve(max_length=1024), tiny_model), windows=4, **options)
    with pytest.raises(l2m.ServerFault, match="another model than the one these scores were begun with"):
        l2m.score(corpus, endpoint(serve(scale=1.3), tiny_model), windows=4, **options)
    assert len(l2m.score(corpus, endpoint(serve(), tiny_model), windows=4, **options)) == 4


def test_a_killed_client_resumes_to_the_same_values(serve, tiny_model, corpus, tmp_path):
    options = {"length": 16, "windows": 6, "splits": (2, 4)}
    whole = l2m.score(corpus, endpoint(serve(), tiny_model), out=tmp_path / "whole", **options)
    seen = 0

    def until(done, total):
        nonlocal seen
        seen = max(seen, done)
        if done > total // 3:
            raise KeyboardInterrupt

    slow = serve(seconds=0.02)
    with pytest.raises(KeyboardInterrupt):
        l2m.score(corpus, endpoint(slow, tiny_model, concurrency=2), out=tmp_path / "part", progress=until, **options)
    asked = len(slow.requests)
    time.sleep(0.3)
    assert len(slow.requests) <= asked + 2  # nothing goes on in the background
    again = l2m.score(corpus, endpoint(serve(), tiny_model), out=tmp_path / "part", **options)
    assert (values_of(whole) == values_of(again)).all()


def test_ctrl_c_ends_the_command_within_a_second(serve, tiny_model, tmp_path):
    text = tmp_path / "text"
    text.mkdir()
    for number, words in enumerate(some_texts(5)):
        (text / f"{number}.txt").write_text(words)
    server = serve(fail=lambda number: "hang" if number > 45 else None)
    line = [sys.executable, "-m", "l2m", "score", str(text), "--endpoint", server.url, "--tokenizer", str(tiny_model)]
    line += ["--out", str(tmp_path / "scores"), "--length", "32", "--windows", "5", "--concurrency", "8"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(600):
            if len(server.requests) > 46:
                break
            time.sleep(0.1)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
        assert process.wait(10) == 130
    assert time.monotonic() - begun < 1.0 + 0.5 * os.getloadavg()[0]
    assert "resume" in told


def test_requests_are_in_flight_side_by_side(serve, tiny_model, corpus, tmp_path):
    server = serve(seconds=0.02)
    l2m.score(
        corpus, endpoint(server, tiny_model, concurrency=6), out=tmp_path / "s", length=16, windows=6, splits=(4,)
    )
    assert 4 <= server.most_running <= 6


# A random model's information may be below 0 everywhere, which a logarithmic axis cannot show.
@pytest.mark.filterwarnings("ignore:Data has no positive values")
def test_the_key_is_sent_and_nowhere_kept(serve, tiny_model, tmp_path, monkeypatch, capsys):
    key = "sk-a-secret-of-the-test"
    server = serve(key=key)
    text = tmp_path / "texts"
    text.mkdir()
    for number, words in enumerate(some_texts(9)):
        (text / f"{number}.txt").write_text(words)
    file = tmp_path / "key"
    file.write_text(key + "\n")
    options = ["--endpoint", server.url, "--tokenizer", str(tiny_model), "--length", "64", "--windows", "18"]
    told = ""

    def run(*arguments):
        nonlocal told
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        out, error = capsys.readouterr()
        told += out + error
        return stopped.value.code

    assert run("measure", text, "--out", tmp_path / "without", *options) == 1
    assert "401" in told
    assert "L2M_API_KEY" in told
    assert (
        run(
            "score",
            text,
            "--out",
            tmp_path / "file",
            *options,
            "--splits",
            "4",
            "--shuffles",
            "0",
            "--api-key-file",
            file,
        )
        == 0
    )
    monkeypatch.setenv("L2M_API_KEY", key)
    assert run("check", server.url, "--tokenizer", tiny_model, "--length", "64") == 0
    assert run("measure", text, "--out", tmp_path / "measured", *options) == 0
    monkeypatch.setenv("L2M_API_KEY", key + "x")
    assert run("check", server.url, "--tokenizer", tiny_model) == 1
    assert server.authorizations >= {f"Bearer {key}", ""}
    file.unlink()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert not [path for path in written if key.encode() in path.read_bytes()]
    assert key not in told
    assert key not in repr(endpoint(server, tiny_model))


def test_the_command_line(serve, tiny_model, tmp_path, capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        return (stopped.value.code, *capsys.readouterr())

    server = serve()
    status, out, _ = run("check", server.url, "--tokenizer", tiny_model, "--length", 64)
    assert status == 0
    assert out.count("ok  ") == 12
    status, out, _ = run("check", tiny_model, "--length", 64, "--device", "cpu", "--json")
    assert status == 0
    assert json.loads(out)["noise_floor"] < 1e-4
    status, out, error = run("check", serve(faults=["shift_late"]).url, "--tokenizer", tiny_model, "--length", 64)
    assert (status, out, error.count("\n")) == (1, "", 1)
    for bad, words in [
        (["check"], "MODEL"),
        (["check", "ftp://x", "--tokenizer", tiny_model], "endpoint: "),
        (["check", server.url], "tokenizer: not named"),
        (["check", "http://user:word@127.0.0.1:1", "--tokenizer", tiny_model], "holds a user"),
        (["check", server.url, "--tokenizer", tiny_model, "--api", "grpc"], "api: 'grpc'"),
        (["check", server.url, "--tokenizer", tiny_model, "--concurrency", "0"], "concurrency: 0"),
        (["check", server.url, "--tokenizer", tiny_model, "--api-key-file", tmp_path / "none"], "api_key_file"),
        (["score", "x.txt", "--out", tmp_path / "s"], "model: not named"),
        (
            ["score", "x.txt", "--model", tiny_model, "--concurrency", "3", "--out", tmp_path / "s"],
            "concurrency: given without",
        ),
    ]:
        status, _, error = run(*bad)
        assert status == 2, bad
        assert words in error
        assert error.count("\n") == 1
    status, _, error = run("check", server.url, "large", "--tokenizer", tiny_model)
    assert status == 1
    assert "serves 'tiny', not 'large'" in error
    status, _, error = run("check", "http://127.0.0.1:9", "--tokenizer", tiny_model)
    assert status == 1
    assert "no answer" in error


# A random model's information may be below 0 everywhere, which a logarithmic axis cannot show.
@pytest.mark.filterwarnings("ignore:Data has no positive values")
def test_measure_gives_the_report_that_the_local_model_gives(serve, tiny_model, tmp_path):
    texts = some_texts(9)
    options = {"length": 64, "windows": 18, "beside": ["gpt2"]}
    there = l2m.measure(texts, endpoint(serve(), tiny_model), tmp_path / "there", **options)
    here = l2m.measure(texts, tiny_model, tmp_path / "here", device="cpu", **options)
    # Float noise of log-probabilities, in a mean of 18 differences of sums of 64.
    assert there.bipartite.information == pytest.approx(here.bipartite.information, abs=1e-3)
    assert there.summary["alpha"] == here.summary["alpha"]
    assert [verdict["model"] for verdict in there.verdicts][1:] == [verdict["model"] for verdict in here.verdicts][1:]
    assert (tmp_path / "there" / "report.html").exists()
    # A server with too short a context gives shorter windows where none are named.
    short = l2m.measure(texts, endpoint(serve(max_length=100), tiny_model), tmp_path / "short", windows=9)
    assert short.settings["length"] == 64


RUN = """
import json, sys
from l2m.base.optional import installed
from l2m.cli import main
assert not any(map(installed, ("torch", "transformers", "accelerate")))
main(json.loads({arguments!r}))
"""


def test_a_server_needs_no_torch_here(serve, tiny_model, tmp_path):
    """The extra `endpoint` is enough: a tokenizer and a client; `plots` too for a report."""
    site = make_site(tmp_path / "site", "endpoint", "plots")
    server = serve()
    text = tmp_path / "texts"
    text.mkdir()
    for number, words in enumerate(some_texts(9)):
        (text / f"{number}.txt").write_text(words)
    options = ["--endpoint", server.url, "--tokenizer", str(tiny_model), "--length", "64", "--windows", "18"]
    for command in (
        ["check", server.url, "--tokenizer", str(tiny_model), "--length", "64"],
        ["score", str(text), "--out", "scores", *options],
        ["measure", str(text), "--out", "measured", *options, "--dry-run"],
        ["measure", str(text), "--out", "measured", *options],
    ):
        done = run_in(site, RUN.format(arguments=json.dumps(command)), tmp_path)
        assert (done.returncode, done.stderr.count("not installed")) == (0, 0), (command, done.stderr)
        assert done.stdout
    asked = run_in(
        site, RUN.format(arguments=json.dumps(["score", str(text), "--model", "gpt2", "--out", "s"])), tmp_path
    )
    assert (asked.returncode, asked.stdout) == (2, "")
    assert asked.stderr.endswith("pip install 'l2m-scaling[lm]'\n")
