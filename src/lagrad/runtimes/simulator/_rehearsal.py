"""What is known of a run only when it has been tried: the last check before it starts."""

from lagrad.runtimes._server import new_server
from lagrad.runtimes._setup import Setup
from lagrad.runtimes._threads import torch_threads
from lagrad.tasks import Differentiator


def rehearse(setup: Setup, *, pickles: bool) -> Differentiator:
    """Try out the task, what the rule makes of its model, and the target on its scores.

    pickles: whether the task is sent to other processes.
    Returns: what the task was tried with, for the run itself: model and data are built once.
    Raises: ValueError or TypeError saying what does not fit.
    """
    with torch_threads(1):  # as all gradients are computed
        differentiator = Differentiator.tried_out(setup.task, setup.seed, pickles=pickles)
        new_server(setup, differentiator)
        if setup.until.epochs is not None and differentiator.num_samples is None:
            raise ValueError(
                f"Expected a budget of updates or seconds for task {setup.task.name}, whose data "
                f"is a stream without epochs, got epochs={setup.until.epochs}; give another one."
            )
        goal = setup.until.goal
        if goal is not None:
            if setup.task.evaluate is None:
                raise ValueError(
                    f"Task {setup.task.name} has no scores, so a target cannot be reached; "
                    "give the task `evaluate`, or another budget."
                )
            buffers = differentiator.initial_buffers()
            goal.reached(differentiator.evaluate(differentiator.initial_params(), buffers))
        return differentiator
