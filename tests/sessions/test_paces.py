"""Faster workers take more local steps, on as many more samples."""

import json
import textwrap

from lagrad.core import Lease, LeaseBook
from lagrad.delays import Factors
from lagrad.sessions import Launch, launch
from lagrad.sessions._messages import Begun
from lagrad.sessions._paces import Paces


def test_without_by_speed_all_take_the_same():
    paces = Paces(Begun(num_samples=None, batch_size=1, steps=8, by_speed=False))
    lease = Lease(0, 0, 0, 1)
    for worker, seconds in ((0, 9.0), (1, 1.0)):
        assert paces.sent(worker, lease, now=0.0) == 8
        paces.delivered(worker, now=seconds)
    assert [paces.steps(worker) for worker in (0, 1)] == [8, 8]
    assert paces.batch_size(0) is None


def test_a_lease_that_came_back_has_the_steps_of_its_samples():
    paces = Paces(Begun(num_samples=100, batch_size=40, steps=4, by_speed=True))
    assert paces.sent(0, Lease(0, 0, 0, 25), now=0.0) == 3


def test_leases_of_several_sizes_cover_an_epoch_once():
    book = LeaseBook(100, 40)
    leases = [book.issue(size) for size in (None, 10, 30, None)]
    assert [lease.samples for lease in leases] == [40, 10, 30, 20]
    book.check()


SCRIPT = """
import torch, lagrad
from lagrad import rules
torch.manual_seed(0)
x = torch.linspace(-1, 1, 2048)[:, None]
session = lagrad.join()
model = session.wrap(torch.nn.Linear(1, 1))
inner = torch.optim.SGD(model.parameters(), lr=0.1)
optimizer = session.optimizer(rules.SGD(lr=0.5), local=inner, steps=8, by_speed=True)
for epoch in range(2):
    for (a,) in session.batches((x,), batch_size=16):
        optimizer.zero_grad()
        ((model(a) - 3 * a - 1) ** 2).mean().backward()
        optimizer.step()
"""


def test_a_slow_worker_is_given_fewer_samples_at_a_time(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(textwrap.dedent(SCRIPT))
    terms = Launch(
        script=path,
        workers=2,
        delays=Factors(((0, 8.0),)),
        seconds_per_job=0.02,
        out=tmp_path / "run",
    )
    result = launch(terms, echo=lambda worker, line: None)
    assert result.epochs == 2
    sizes = {0: set(), 1: set()}
    for line in (tmp_path / "run" / "trace.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["is"] == "send":
            sizes[record["worker"]].add(record["stop"] - record["start"])
    assert min(sizes[0]) < 128
    assert max(sizes[0] | sizes[1]) == 128
