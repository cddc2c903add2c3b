"""Settings of all tests, and what is slow to set up."""

import logging
import warnings

import pytest
import torch
from hypothesis import settings

# Vectors of tests are short: on a busy machine two threads wait longer for each other than they
# compute.
torch.set_num_threads(1)

# The same examples in every run, however slow the machine is: no test fails by chance.
settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")


#: Ray notices a node that died after two seconds instead of half a minute.
ALERT = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 10_000,
    "health_check_failure_threshold": 4,
}


@pytest.fixture(scope="module")
def nodes():
    """Two nodes with a processor each, so that one worker shares the server's host, one not."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        room = {"num_cpus": 1, "object_store_memory": 80_000_000}
        cluster = Cluster(
            initialize_head=True,
            head_node_args={**room, "include_dashboard": False, "_system_config": ALERT},
        )
        cluster.add_node(**room)
        ray.init(address=cluster.address, logging_level=logging.ERROR, log_to_driver=False)
        yield cluster
        ray.shutdown()
        cluster.shutdown()
