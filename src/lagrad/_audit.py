"""An audit of a run: its promises, proved from its trace or refuted."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lagrad import specs
from lagrad.core import Outcome, decoded
from lagrad.trace import Auditor, Promise, Promised, read_trace

from ._configuration import Saved, read_saved, require_files


@dataclass(frozen=True)
class Audit:
    """What an audit found: each promise, how often it was checked, what spoke against it."""

    promises: tuple[Promise, ...]

    @property
    def holds(self) -> bool:
        """Whether every promise held."""
        return all(promise.holds for promise in self.promises)


def audit(run: Path | str) -> Audit:
    """Prove from a run's folder, without the server's code, that its promises were kept.

    Every push has one verdict; every applied gradient was applied once; samples are leased once
    and settled once, epochs complete but for the leases that were set aside; versions have no gaps;
    only live workers are sent work; the trace is whole and the one that `result.json` speaks of;
    every fault asked for happened.
    A damaged or cut trace is a promise that does not hold, no error.
    Raises: ValueError for what is no folder of a run.
    """
    folder = Path(run)
    require_files(folder, "config.json", "trace.jsonl")
    saved = read_saved(folder / "config.json")
    attempts = specs.parse("guard", saved.guard).attempts
    auditor = Auditor(release_dropped=saved.release_dropped, attempts=attempts)
    whole = auditor.promises[Promised.WHOLE]
    try:
        for record in read_trace(folder / "trace.jsonl"):
            auditor.read(record)
    except ValueError as error:
        whole.check(False, str(error))
    auditor.close()
    _compare_result(folder, auditor)
    _count_faults(saved, auditor)
    return Audit(tuple(auditor.promises.values()))


def _compare_result(folder: Path, auditor: Auditor) -> None:
    """What the run said of itself when it ended."""
    whole = auditor.promises[Promised.WHOLE]
    try:
        content = (folder / "result.json").read_bytes()
        said = decoded(msgspec.json.Decoder(dict[str, Any]).decode, content)
    except (OSError, ValueError) as error:
        whole.check(False, f"result.json cannot be read: {error}")
        return
    sha256 = hashlib.sha256((folder / "trace.jsonl").read_bytes()).hexdigest()
    whole.check(said.get("trace_sha256") == sha256, "result.json has another SHA-256 of the trace")
    seen = {outcome.value: auditor.outcomes[outcome] for outcome in Outcome}
    whole.check(
        said.get("verdicts") == seen, f"result.json counts {said.get('verdicts')}, seen {seen}"
    )
    auditor.promises[Promised.VERSIONS].check(
        said.get("updates") == auditor.version,
        f"result.json counts {said.get('updates')} updates, {auditor.version} were seen",
    )
    if auditor.leases.epoch_size:
        epochs = auditor.leases.settled_samples / auditor.leases.epoch_size
        whole.check(
            said.get("epochs") == epochs,
            f"result.json counts {said.get('epochs')} epochs, the leases make {epochs}",
        )
    aside = said.get("set_aside", [])
    whole.check(
        aside == auditor.leases.aside(),
        f"result.json has set aside {aside!r:.200}, the trace {auditor.leases.aside()}",
    )
    faults = said.get("faults", [])
    if not isinstance(faults, list) or not all(isinstance(fault, dict) for fault in faults):
        whole.check(False, f"result.json counts faults as {faults!r:.200}")
        return
    struck = [auditor.struck[number] for number in range(len(faults))]
    counted = [fault.get("struck") for fault in faults]
    auditor.promises[Promised.FAULTS].check(
        counted == struck, f"result.json counts {counted} faults, the trace {struck}"
    )


def _count_faults(saved: Saved, auditor: Auditor) -> None:
    for number, fault in enumerate(saved.chaos):
        auditor.promises[Promised.FAULTS].check(
            auditor.struck[number] > 0, f"{fault} was asked for and did not happen"
        )
    unknown = sorted(set(auditor.struck) - set(range(len(saved.chaos))))
    auditor.promises[Promised.FAULTS].check(not unknown, f"faults {unknown} happened unasked")
