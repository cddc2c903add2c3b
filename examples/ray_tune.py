"""Ray Tune chooses the learning rate of a lagrad run.

    python examples/ray_tune.py

Each trial is a run in virtual time, in a process that Tune starts; runs in real time work alike,
with `runtimes.Ray()` in place of the simulator: they use the cluster that Tune is on.
Needs `pip install 'ray[tune]' pyzmq`.
"""

from typing import Any

from ray import tune

import lagrad
from lagrad import delays, rules, runtimes


def trial(config: dict[str, Any]) -> dict[str, float]:
    """One run; its last scores are what Tune compares."""
    result = lagrad.train(
        "quadratic:condition=20",
        rule=rules.DynamicMomentum(lr=config["lr"]),
        runtime=runtimes.Simulator(),
        delays=delays.Stragglers(workers=(0,), factor=6.0),
        workers=4,
        until=lagrad.Until(updates=400),
    )
    return {"loss": result.scores["loss"]}


def main() -> None:
    """Try four rates and name the best."""
    tuner = tune.Tuner(
        trial,
        param_space={"lr": tune.grid_search([0.003, 0.01, 0.03, 0.1])},
        tune_config=tune.TuneConfig(metric="loss", mode="min"),
    )
    best = tuner.fit().get_best_result()
    assert best.config is not None
    assert best.metrics is not None
    print(f"The best rate is {best.config['lr']}, with loss {best.metrics['loss']:.3g}.")


if __name__ == "__main__":
    main()
