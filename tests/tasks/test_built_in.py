import math
import pickle

import pytest
import torch

from lagrad.core import Lease
from lagrad.tasks import (
    BUILT_IN,
    Differentiator,
    LeNet,
    find,
    lenet_mnist,
    mnist,
    parabola,
    quadratic,
    softmax_mnist,
)


def gradient_at(task, point, number=0, seed=0):
    differ = Differentiator(task, seed)
    out = torch.empty_like(point)
    lease = Lease(number, 0, number, number + task.batch_size)
    loss, _, finite = differ(point, lease, buffers=differ.initial_buffers(), out=out)
    assert finite
    return loss, out


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_task_is_sound_and_named_as_it_is_found(name):
    task = find(name)
    task.validate()
    assert task.name == name
    assert pickle.loads(pickle.dumps(task)).name == name
    differ = Differentiator(task)
    assert differ.buffer_layout.size == 0


def test_the_parabola_is_the_notes():
    differ = Differentiator(parabola())
    x = differ.initial_params()
    assert x.tolist() == [8.0]
    assert x.dtype == torch.float64
    for point in (8.0, -0.3, 0.0):
        loss, out = gradient_at(parabola(), torch.tensor([point], dtype=torch.float64))
        assert loss == point * point
        assert out.item() == 2 * point
    assert differ.evaluate(x, differ.initial_buffers()) == {"loss": 64.0}


def test_gradient_descent_on_the_parabola_gives_equation_4():
    x = torch.tensor([8.0], dtype=torch.float64)
    for t in range(1, 30):
        x = x - 0.25 * gradient_at(parabola(), x)[1]
        assert x.item() == 8 * 0.5**t


def test_the_quadratics_gradient_is_analytic():
    task = quadratic(condition=1000.0, dimension=4)
    spectrum = torch.tensor([1e-3, 1e-2, 1e-1, 1.0], dtype=torch.float64)
    x = torch.randn(4, dtype=torch.float64)
    loss, out = gradient_at(task, x)
    torch.testing.assert_close(out, spectrum * x)
    assert math.isclose(loss, 0.5 * (spectrum * x * x).sum())
    exact = (0.3, 0.7, 5.1)
    _, out = gradient_at(quadratic(spectrum=exact), x[:3])
    assert torch.equal(out, torch.tensor(exact, dtype=torch.float64) * x[:3])


def test_the_quadratics_noise_has_the_right_mean_and_spread():
    task = quadratic(spectrum=(1.0, 2.0), noise=0.5)
    differ = Differentiator(task)
    x, buffers = differ.initial_params(), differ.initial_buffers()
    draws = torch.empty(2000, 2, dtype=torch.float64)
    for number, out in enumerate(draws):
        differ(x, Lease(number, 0, number, number + 1), buffers=buffers, out=out)
    noise = draws - torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert noise.mean(0).abs().max() < 5 * 0.5 / math.sqrt(2000)
    assert (noise.std(0) / 0.5 - 1).abs().max() < 0.08
    assert abs(torch.corrcoef(noise.T)[0, 1]) < 0.1
    assert abs(torch.corrcoef(torch.stack([noise[:-1, 0], noise[1:, 0]]))[0, 1]) < 0.1
    assert differ.evaluate(x, buffers) == {"loss": 1.5}


def test_a_condition_of_one_and_a_dimension_of_one():
    assert quadratic(condition=1.0, dimension=2).model()().item() == 1.0
    assert quadratic(dimension=1).model()().item() == 0.5


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"condition": 0.5}, "condition >= 1"),
        ({"condition": math.nan}, "condition >= 1"),
        ({"dimension": 0}, "dimension >= 1"),
        ({"noise": -1.0}, "noise >= 0"),
        ({"spectrum": ()}, "positive numbers"),
        ({"spectrum": (1.0, 0.0)}, "positive numbers"),
    ],
)
def test_arguments_of_the_quadratic_are_checked(arguments, text):
    with pytest.raises(ValueError, match=text):
        quadratic(**arguments)


def test_lenet_has_the_parameters_of_caffes():
    sizes = [p.numel() for p in LeNet().parameters()]
    assert sizes == [500, 20, 25_000, 50, 400_000, 500, 5_000, 10]
    assert Differentiator(lenet_mnist()).layout.size == sum(sizes) == 431_080


def test_lenet_takes_bytes_and_floats_with_and_without_a_channel():
    images = mnist(train=False)[0][:5]
    model = LeNet()
    expected = model(images)
    torch.testing.assert_close(model(images.float() / 255), expected)
    torch.testing.assert_close(model(images.unsqueeze(1)), expected)
    torch.testing.assert_close(model.double()(images).float(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("task", [lenet_mnist(batch_size=8), softmax_mnist(batch_size=8)])
def test_scores_are_over_the_whole_test_set(task):
    differ = Differentiator(task)
    point = torch.zeros(differ.layout.size)
    differ.layout.views(point)[differ.layout.names[-1]][3] = 100.0
    scores = differ.evaluate(point, differ.initial_buffers())
    share = (mnist(train=False)[1] == 3).double().mean().item()
    assert math.isclose(scores["accuracy"], share)
    assert math.isclose(scores["loss"], 100 * (1 - share), rel_tol=1e-5)


def test_softmax_starts_at_the_uniform_distribution():
    differ = Differentiator(softmax_mnist())
    scores = differ.evaluate(differ.initial_params(), differ.initial_buffers())
    assert math.isclose(scores["loss"], math.log(10), rel_tol=1e-6)


def test_the_penalty_adds_l2_times_the_parameters():
    x = torch.randn(7850)
    loss, plain = gradient_at(softmax_mnist(), x)
    penalised, out = gradient_at(softmax_mnist(l2=0.1), x)
    torch.testing.assert_close(out, plain + 0.1 * x, rtol=1e-4, atol=1e-5)
    assert math.isclose(penalised, loss + 0.05 * x.square().sum().item(), rel_tol=1e-4)
    with pytest.raises(ValueError, match="l2 >= 0"):
        softmax_mnist(l2=-1.0)


def test_fewer_test_images_are_the_same_ones_each_time():
    task = lenet_mnist(test_images=50)
    model = task.model()
    scores = task.evaluate(model)
    assert scores == task.evaluate(model)
    assert scores["accuracy"] * 50 == pytest.approx(round(scores["accuracy"] * 50))
    assert scores != lenet_mnist(test_images=51).evaluate(model)


@pytest.mark.parametrize("count", [0, -1, 10_001])
def test_more_test_images_than_there_are_are_refused(count):
    with pytest.raises(ValueError, match=f"got {count}; "):
        lenet_mnist(test_images=count)
