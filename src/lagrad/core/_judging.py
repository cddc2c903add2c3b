"""What is wrong with a message of a worker, in words, and the verdict on it: pure functions."""

import math

import torch
from torch import Tensor

from ._layout import Layout
from ._ledger import Member
from ._messages import Outcome, Pull, Push, Verdict


def stranger(event: Pull | Push, member: Member | None) -> str:
    """Why an incarnation that is not live has no say; `member` is the live one, if any."""
    worker = event.worker
    if member is None:
        return f"worker {worker} is not a member; it has to join first"
    return (
        f"incarnation {event.incarnation} of worker {worker} is over; {member.incarnation} is live"
    )


def malformed(
    push: Push, member: Member, *, version: int, layout: Layout, buffers: Tensor | None
) -> str:
    """What does not fit in a push of `member` to a server at `version`; empty if all does."""
    if member.lease is None or push.lease != member.lease.number:
        return f"worker {push.worker} does not hold lease {push.lease}"
    if push.version > version:
        return (
            f"push at version {push.version}, but the server is at version {version}; "
            "a push cannot come from the future"
        )
    if push.version != member.version:
        return f"push at version {push.version}, but worker was sent version {member.version}"
    values = push.values
    if values.shape != (layout.size,) or values.dtype != layout.dtype:
        return (
            f"expected {layout.size} values of {layout.dtype}, "
            f"got {tuple(values.shape)} of {values.dtype}"
        )
    if push.buffers is None and buffers is None:
        return ""
    return _misfitting(push.buffers, buffers)


def _misfitting(pushed: Tensor | None, buffers: Tensor | None) -> str:
    if pushed is None or buffers is None:
        return "the push and the server do not agree on whether the model has buffers"
    if pushed.shape != buffers.shape or pushed.dtype != buffers.dtype:
        return (
            f"expected {buffers.numel()} buffers of {buffers.dtype}, "
            f"got {tuple(pushed.shape)} of {pushed.dtype}"
        )
    return ""


def not_finite(push: Push, buffers: Tensor | None) -> str:
    """What of the loss, the gradient and the buffers is not finite; empty if all are."""
    if push.loss is not None and not math.isfinite(push.loss):
        return f"the loss is {push.loss}"
    if not (all_finite(push.values) if push.finite is None else push.finite):
        return "the gradient is not finite"
    if push.buffers is not None and buffers is not None and not all_finite(push.buffers):
        # An infinite one may be meant so: a mask of -inf. Then the server's is infinite too.
        if bool((torch.isfinite(push.buffers) | ~torch.isfinite(buffers)).all()):
            return ""
        return "the model's buffers are no longer finite"
    return ""


def all_finite(values: Tensor) -> bool:
    """Whether no element is infinite or not a number."""
    # One pass and no temporary: a sum is finite only if its terms are; the exact question is
    # asked only when the sum itself overflows.
    return math.isfinite(values.sum().item()) or bool(torch.isfinite(values).all())


def verdict(
    push: Push,
    outcome: Outcome,
    *,
    tau: int | None = None,
    weight: float = 0.0,
    reason: str = "",
) -> Verdict:
    """The verdict on a push."""
    return Verdict(
        worker=push.worker,
        incarnation=push.incarnation,
        sequence=push.sequence,
        outcome=outcome,
        tau=tau,
        weight=weight,
        reason=reason,
    )
