"""The exit codes of the command."""

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
