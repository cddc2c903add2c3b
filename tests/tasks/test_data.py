import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from lagrad.tasks import Samples, Stream

X = torch.arange(12.0).view(6, 2)
Y = torch.arange(6)
SOME = torch.tensor([4, 0, 3])


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    def __len__(self):
        return len(Y)

    def __getitem__(self, index):
        return X[index], Y[index]


class Endless(IterableDataset[int]):
    def __iter__(self):
        return iter([1])


@pytest.mark.parametrize(
    "dataset",
    [(X, Y), TensorDataset(X, Y), Pairs(), Subset(Pairs(), list(range(6)))],
    ids=["tensors", "TensorDataset", "map-style", "with __getitems__"],
)
def test_every_kind_of_data_set_gives_the_same_batch(dataset):
    samples = Samples(dataset)
    x, y = samples.batch(SOME)
    assert len(samples) == samples.num_samples == 6
    assert torch.equal(x, X[SOME])
    assert torch.equal(y, Y[SOME])


def test_many_samples_are_fetched_at_once_when_the_data_set_can():
    class Counting(Pairs):
        calls = 0

        def __getitems__(self, indices):
            self.calls += 1
            return [self[i] for i in indices]

    dataset = Counting()
    Samples(dataset).batch(SOME)
    assert dataset.calls == 1


def test_a_batch_is_a_copy():
    samples = Samples((X.clone(),))
    samples.batch(SOME)[0].zero_()
    assert torch.equal(samples.batch(SOME)[0], X[SOME])


@pytest.mark.parametrize("tensors", [(), (X, Y[:5]), (torch.tensor(1.0),)])
def test_tensors_must_agree_in_their_first_dimension(tensors):
    with pytest.raises(ValueError, match="same first dimension"):
        Samples(tensors)


@pytest.mark.parametrize(
    ("dataset", "text"),
    [(Endless(), r"Stream\(draw\)"), (X, r"Samples\(\(tensor,\)\)"), (3, "__len__ and __getit")],
)
def test_other_things_are_no_samples(dataset, text):
    with pytest.raises(TypeError, match=text):
        Samples(dataset)


def test_a_stream_has_no_size():
    assert Stream(lambda generator: None).num_samples is None
