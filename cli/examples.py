"""Examples below the help of a command."""


def examples(*commands: str, more: str = "") -> str:
    """The epilog of a command.

    Args:
        commands: lines to copy, each a whole command; a remark may follow after ``#``.
        more: what else the help says, e.g. the exit codes.
    """
    lines = "\n\n".join(f"    {command}" for command in commands)
    return f"Examples:\n\n{lines}\n\n{more}"
