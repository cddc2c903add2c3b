"""How long losses have held up the steps."""

from lagrad.runtimes._run import Run


class Stalls:
    """Notes the losses of a run, and once a step follows one, the seconds without any before it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        #: Of the failures that no step has followed yet; when the last step was taken.
        self._open: list[int] = []
        self._stepped_at = 0.0

    def note(self, words: str) -> None:
        """Something was lost that steps may wait for."""
        self._open.append(len(self._run.failures))
        self._run.failures.append(words)

    def stepped(self) -> None:
        """A step was taken, or the run begins."""
        now = self._run.now
        for index in self._open:
            self._run.failures[index] += f"; {now - self._stepped_at:.1f} s without a step"
        self._open.clear()
        self._stepped_at = now
