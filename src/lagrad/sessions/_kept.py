"""What the folder of a run keeps of its launch, so that it can be launched again."""

from pathlib import Path
from typing import Any

import msgspec

from lagrad import specs
from lagrad._configuration import Saved
from lagrad.core import Unreadable, decoded
from lagrad.runtimes import Until

from ._messages import Begun
from ._terms import ENDLESS, Launch


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Of what `Launch` says, what no other part of a configuration does.

    begun: what the scripts train on.
    """

    script: str
    arguments: tuple[str, ...]
    folder: str
    rule: str | None
    restarts: int
    hung_after: float | None
    seconds_per_job: float | None
    ray: str | None
    min_workers: int | None
    gpus: bool = False
    patience: float
    begun: Begun


_decoder = msgspec.json.Decoder(Kept)


def as_json(terms: Launch, begun: Begun) -> dict[str, Any]:
    """The part of a configuration that `terms_of` reads."""
    kept = Kept(
        script=str(terms.script.absolute()),
        arguments=tuple(terms.arguments),
        folder=str((terms.folder or Path()).absolute()),
        rule=terms.rule,
        restarts=terms.restarts,
        hung_after=terms.hung_after,
        seconds_per_job=terms.seconds_per_job,
        ray=terms.ray,
        min_workers=terms.min_workers,
        gpus=terms.gpus,
        patience=terms.patience,
        begun=begun,
    )
    return dict(msgspec.to_builtins(kept))


def terms_of(run: Path, saved: Saved, *, until: Until | None) -> tuple[Launch, Begun]:
    """The launch of a run, and what its scripts train on. until: None for what it had.

    Raises: ValueError for a run that cannot be launched again.
    """
    if saved.resume is None or saved.resume.launch is None:
        raise ValueError(
            f"Expected a run of scripts that keeps checkpoints, got {run}, which is none; "
            "a run of a task goes on by `lagrad train --resume RUN`."
        )
    if saved.policy is None or saved.delays is None:
        raise ValueError(
            f"Expected a policy and delays that have names, got {saved.policy_name} and "
            f"{saved.delays_name}, objects of which {run} holds nothing; start the run anew."
        )
    try:
        kept = decoded(_decoder.decode, msgspec.json.encode(saved.resume.launch))
    except Unreadable as error:
        raise ValueError(
            f"Expected in {run / 'config.json'} what this version writes of a launch, got "
            f"something else ({error}); restore the file or run anew."
        ) from error
    had = None if saved.until == ENDLESS else saved.until
    terms = Launch(
        script=Path(kept.script),
        arguments=kept.arguments,
        workers=saved.workers,
        policy=specs.parse("policy", saved.policy),
        rule=kept.rule,
        delays=specs.parse("delays", saved.delays),
        until=until or had,
        seed=saved.seed,
        ema=saved.ema,
        restarts=kept.restarts,
        hung_after=kept.hung_after,
        seconds_per_job=kept.seconds_per_job,
        chaos=tuple(specs.parse("fault", text) for text in saved.chaos),
        out=run,
        keeping=saved.resume.keeping,
        folder=Path(kept.folder),
        ray=kept.ray,
        min_workers=kept.min_workers,
        gpus=kept.gpus,
        patience=kept.patience,
    )
    return terms, kept.begun
