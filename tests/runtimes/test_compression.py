"""Gradients in fewer bytes: what is left out comes later, and training gets where it would."""

import msgspec
import pytest
import torch

import small_tasks
from lagrad import rules
from lagrad.core import Join, LeaseBook, Pull, Push, Send, Server
from lagrad.policies import Asynchronous
from lagrad.runtimes.wire._compression import Compressor, expand, size
from lagrad.tasks import Differentiator

NUMEL = 10_000


def gradients(count):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(NUMEL, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("how", ["bf16", "int8", "topk"])
def test_the_bytes_are_as_many_as_announced(how):
    (gradient,) = gradients(1)
    assert Compressor(how, gradient)(gradient).shape == (size(how, NUMEL),)
    assert size(how, NUMEL) < 0.51 * gradient.nbytes


def test_bf16_errs_by_a_relative_2_to_the_minus_8():
    (gradient,) = gradients(1)
    arrived = expand("bf16", Compressor("bf16", gradient)(gradient), NUMEL)
    assert bool(((arrived - gradient).abs() <= 2.0**-8 * gradient.abs()).all())


def test_with_error_feedback_the_sum_of_all_that_arrives_is_one_rounding_from_the_truth():
    compressor, all_sent = Compressor("int8", torch.zeros(NUMEL)), gradients(40)
    arrived = [expand("int8", compressor(gradient), NUMEL) for gradient in all_sent]
    error = (torch.stack(arrived).sum(dim=0) - torch.stack(all_sent).sum(dim=0)).abs().max()
    half_a_step = max(gradient.abs().max() for gradient in all_sent) / 127
    assert error <= half_a_step


def test_top_k_sends_the_largest_and_keeps_all_others_for_later():
    compressor, all_sent = Compressor("topk", torch.zeros(NUMEL)), gradients(3)
    left = torch.zeros(NUMEL)
    for gradient in all_sent:
        wanted = left + gradient
        arrived = expand("topk", compressor(gradient), NUMEL)
        sent = arrived != 0
        assert int(sent.sum()) == NUMEL // 100
        assert torch.equal(arrived[sent], wanted[sent])
        assert wanted[sent].abs().min() >= wanted[~sent].abs().max()
        left = wanted - arrived


def test_a_place_beyond_the_vector_is_refused():
    sent = Compressor("topk", torch.zeros(10))(torch.arange(10.0))
    assert expand("topk", sent, 10)[9] == 9.0
    sent[0] = 10
    with pytest.raises(ValueError, match="places from 0 to 9"):
        expand("topk", sent, 10)


@pytest.mark.parametrize(("how", "sent"), [("int8", [0, 1, 2, 3]), ("topk", [0])])
def test_a_gradient_that_is_not_finite_arrives_as_such_and_leaves_nothing_behind(how, sent):
    compressor = Compressor(how, torch.zeros(4))
    bad = expand(how, compressor(torch.tensor([1.0, torch.inf, 2.0, 3.0])), 4)
    assert not bool(torch.isfinite(bad).all())
    good = torch.tensor([127.0, 2.0, 3.0, 4.0])
    arrived = expand(how, compressor(good), 4)
    assert torch.equal(arrived[sent], good[sent])
    assert int(arrived.count_nonzero()) == len(sent)


def trained(how):
    """The accuracy after 150 asynchronous updates of two workers in turn."""
    differentiator = Differentiator(small_tasks.blobs, 0)
    params = differentiator.initial_params()
    server = Server(
        params,
        layout=differentiator.layout,
        rule=rules.Momentum(lr=0.02, momentum=0.8),
        policy=Asynchronous(),
        leases=LeaseBook(differentiator.num_samples, 8),
    )
    sent: dict[int, Send] = {}
    compressors = [Compressor(how, params) if how else None for _ in range(2)]
    for worker in range(2):
        server.handle(Join(worker=worker))
        (command,) = server.handle(Pull(worker=worker))
        sent[worker] = msgspec.structs.replace(command, point=command.point.clone())
    buffers = differentiator.initial_buffers()
    for turn in range(150):
        worker, order = turn % 2, sent[turn % 2]
        values = torch.empty_like(params)
        differentiator(order.point, order.lease, buffers=buffers, out=values)
        compressor = compressors[worker]
        if compressor is not None:
            values = expand(how, compressor(values), len(values))
        push = Push(
            worker=worker,
            sequence=turn // 2,
            version=order.version,
            lease=order.lease.number,
            values=values,
        )
        server.handle(push)
        (command,) = server.handle(Pull(worker=worker))
        sent[worker] = msgspec.structs.replace(command, point=command.point.clone())
    return differentiator.evaluate(params, buffers)


@pytest.mark.parametrize("how", ["bf16", "int8", "topk"])
def test_training_gets_where_it_gets_without(how):
    plain, compressed = trained(None), trained(how)
    assert plain["accuracy"] >= 0.95
    assert compressed["accuracy"] >= plain["accuracy"] - 0.021  # one sample of fifty
    assert compressed["loss"] <= 1.1 * plain["loss"]
