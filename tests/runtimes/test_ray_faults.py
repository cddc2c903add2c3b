"""Four nodes of which two are killed and one is added: training goes on, nothing counts twice."""

import logging
from collections import Counter

import pytest

import small_tasks
from conftest import ALERT
from lagrad import replay, rules, train
from lagrad.core import Outcome
from lagrad.runtimes import Ray, Until
from lagrad.runtimes.ray import _crew
from lagrad.trace import Judged, Sent, read_trace

ray = pytest.importorskip("ray")

pytestmark = [
    pytest.mark.experiments,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore"),
]
ROOM = {"num_cpus": 1, "object_store_memory": 80_000_000}


TASK = small_tasks.sliceable


class Chaos:
    """An observer that kills a worker's node, then a shard's, then adds one."""

    def __init__(self, cluster, nodes, crews):
        self.cluster, self.nodes, self.crews = cluster, nodes, crews
        self.todo = ["worker", "shard", "add"]
        self.at = 50

    def __call__(self, run):
        (crew,) = self.crews
        shards, version = crew.shards, run.server.version
        whole = shards is None or shards.ready
        if version < self.at or not whole or not run.processes:
            return
        self.at = version + 100
        if not self.todo:
            return
        what = self.todo.pop(0)
        if what == "add":
            self.nodes.append(self.cluster.add_node(**ROOM))
            return
        ours = {node.node_id: node for node in self.nodes}
        if what == "worker":
            places = [berth.node for berth in crew.berths if berth.ready]
        elif shards is None:
            return
        else:
            places = [life.holder.node for life in shards.lives.values() if life.holder]
        node = next(ours[place] for place in places if place in ours)
        self.nodes.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)


@pytest.mark.parametrize("servers", [2, 1])
def test_losing_a_workers_node_and_a_shards_costs_seconds_alone(servers, tmp_path, monkeypatch):
    crews = []
    made = _crew.Crew.__init__

    def make(self, *arguments):
        made(self, *arguments)
        crews.append(self)

    monkeypatch.setattr(_crew.Crew, "__init__", make)
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**head, "_system_config": ALERT})
    try:
        nodes = [cluster.add_node(**ROOM) for _ in range(3)]
        ray.init(address=cluster.address, logging_level=logging.ERROR, log_to_driver=False)
        chaos = Chaos(cluster, nodes, crews)
        result = train(
            TASK,
            rule=rules.default_rule(3, lr=0.01),
            runtime=Ray(servers=servers, seconds_per_job=0.02),
            workers=3,
            until=Until(updates=2500),
            ema=0.9,
            observe=chaos,
            evaluate_every=1.0,
            out=tmp_path / "run",
        )
    finally:
        ray.shutdown()
        cluster.shutdown()
    print(*result.failures, sep="\n")
    assert not chaos.todo, "everything has happened"
    # Ray may tell that the connection has broken before it tells that the node is dead.
    gone = ("its node is gone", "its process is gone")
    assert any(
        words.startswith("Worker") and any(w in words for w in gone) for words in result.failures
    )
    assert any(words.endswith("s without a step") for words in result.failures)
    assert result.scores["accuracy"] >= 0.95
    assert set(result.verdicts) == {Outcome.APPLIED}
    audit(tmp_path / "run" / "trace.jsonl", updates=result.updates)
    found = replay(tmp_path / "run", task=TASK)
    assert found.identical, found.differences


def audit(trace, *, updates):
    """Every applied push, and every lease that led to one, is there once, in all versions."""
    pushes, leases, sent = Counter(), Counter(), {}
    for record in read_trace(trace):
        if isinstance(record, Sent):
            sent[record.worker, record.incarnation] = record.lease
        elif isinstance(record, Judged) and record.outcome is Outcome.APPLIED:
            pushes[record.worker, record.incarnation, record.sequence] += 1
            leases[sent[record.worker, record.incarnation]] += 1
    assert pushes.total() == updates
    assert set(pushes.values()) == set(leases.values()) == {1}
