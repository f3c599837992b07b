from typing import Literal


def completion(shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print the completion script of a shell.

    Examples
    --------
    source <(l2m completion bash)
    l2m completion zsh > ~/.zfunc/_l2m
    l2m completion fish > ~/.config/fish/completions/l2m.fish

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    from l2m.cli import make_app

    print(make_app().generate_completion(shell=shell))
