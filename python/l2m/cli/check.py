import dataclasses
from typing import Any

from l2m.cli.work import Server


def check(
    *model: str,
    server: Server | None = None,
    length: int = 512,
    start_token: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    json: bool = False,
) -> None:
    """Does a server, or a model here, give log-probabilities that can be used? The test that runs before every scoring.

    Prints what was tested, or one line that says which fault it is and what to change; the exit status is then 1.

    Examples
    --------
    l2m check http://127.0.0.1:8000 --tokenizer SmolLM2-135M
    l2m check SmolLM2-135M --length 1024

    Parameters
    ----------
    model
        URL of a server, such as http://127.0.0.1:8000, with --tokenizer; the name of the model it serves may follow. Or a model:
        hub name, folder, GGUF file, package.
    length
        Tokens in a window, as they will be scored. Default: 512, or as many as fit.
    start_token
        The token before each window, where the model names none or one that controls chats.
    device
        cpu, cuda, ... Default: a GPU where there is one.
    dtype
        float32, bfloat16, float16. Default: float32 on a CPU, the checkpoint's own on a GPU; of a server, what its values show.
    revision
        Commit, tag or branch of a hub model.
    json
        Print the findings as one JSON object.
    """
    import numpy as np

    from l2m.base import checks
    from l2m.cli.output import print_result
    from l2m.errors import InputError, ServerFault
    from l2m.scoring.request import Request
    from l2m.scoring.scorer import settings_of
    from l2m.scoring.self_test import self_test
    from l2m.scoring.settings import ScoreSettings
    from l2m.scoring.windows import Windows

    server, named = server or Server(), list(model)
    urls = [name for name in named if "://" in name]
    rest = [name for name in named if "://" not in name]
    if len(rest) > 1 or (not named and server.endpoint is None):
        raise InputError(f"MODEL: {len(rest)} named; expected the URL of a server, or one model")
    if urls:
        server = dataclasses.replace(server, endpoint=[*urls, *(server.endpoint or [])])
    checks.whole("length", length, 16)
    scorer: Any = server.scorer(rest[0] if rest else None, start_token=start_token, dtype=dtype, revision=revision)
    served = scorer is not None
    settings = ScoreSettings(length=16, start_token=start_token, dtype=dtype, device=device, revision=revision)
    if scorer is None:
        from l2m.scoring.model_source import resolve_model

        source = resolve_model(rest[0], revision=revision)
        scorer = Request(corpus=np.zeros((2, 16), np.int64), model=source, settings=settings).scorer(source)
    context = scorer.context
    length = length if context is None else min(length, context)
    # Of no text, so that none has to be given: every id that the tokenizer knows.
    random = np.random.default_rng(0)
    windows = Windows(random.integers(scorer.vocab_size or 1 << 10, size=(2, length)), length)
    try:
        tested = scorer.self_test(windows) if served else self_test(scorer, windows, [length // 4, length // 2])
    except ServerFault:
        raise
    except InputError as fault:
        raise ServerFault(str(fault)) from None
    report = tested.report
    findings = report.get("findings") or [
        [name, True, "differs beyond rounding" if value is None else f"{value:.1g} nats"]
        for name, value in report["differences"].items()
    ]
    about = settings_of(scorer)
    lines = [
        f"{about.get('name')}" + (f": {about['api']} {about['version'] or ''}".rstrip() if served else ""),
        *(f"{'ok' if done else '--':<4}{name:<32}{words}" for name, done, words in findings),
        f"noise floor {report['noise_floor']:.1g} nats; {report['tokens']:,} tokens",
    ]
    print_result({"model": dict(about), **report}, json, "\n".join(lines))
