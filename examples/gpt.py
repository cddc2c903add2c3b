"""A small GPT on Python's own manual, by characters.

python examples/gpt.py
lagrad run --workers 4 --slow 0:4 examples/gpt.py
lagrad run --workers 4 --policy synchronous examples/gpt.py --local-steps 8     (DiLoCo)
"""

import argparse
from pydoc_data.topics import topics

import torch
from torch import Tensor, nn
from torch.nn import functional

import lagrad
from lagrad import rules

parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int, default=128)
parser.add_argument("--layers", type=int, default=4)
parser.add_argument("--length", type=int, default=128, help="characters of a sample")
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--samples", type=int, default=0, help="of the text; 0: all")
parser.add_argument("--local-steps", type=int, default=0, help="of AdamW in every worker")
options = parser.parse_args()

text = "\n".join(topics[name] for name in sorted(topics)).encode("ascii", "replace")
tokens = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
samples = tokens[: len(tokens) // options.length * options.length].view(-1, options.length)
held_out, samples = samples[:64], samples[64:]
if options.samples:
    samples = samples[: options.samples]


class Block(nn.Module):
    """Attention to what came before, then two dense layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dense = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[n, length, width] to the same."""
        parts = self.mix(self.norm1(x)).unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(*parts, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.dense(self.norm2(x))


class GPT(nn.Module):
    """Logits of the next character; the first and the last layer share their weights."""

    def __init__(self, width: int, layers: int, length: int) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(128, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 128, bias=False)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.head.weight = self.embed.weight

    def forward(self, text: Tensor) -> Tensor:
        """[n, length] to [n, length, 128]."""
        x = self.embed(text) + self.place.weight[: text.shape[1]]
        return self.head(self.norm(self.blocks(x)))


def loss_of(model: nn.Module, text: Tensor) -> Tensor:
    """Mean negative log likelihood of the next characters."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(text[:, :-1])
    return functional.cross_entropy(logits.float().flatten(0, 1), text[:, 1:].flatten())


torch.manual_seed(0)
session = lagrad.join()
model = session.wrap(GPT(options.width, options.layers, options.length))
if options.local_steps:
    optimizer = session.optimizer(
        rules.Momentum(lr=0.7, momentum=0.9, nesterov=True),
        local=torch.optim.AdamW(model.parameters(), lr=1e-3),
        steps=options.local_steps,
    )
else:
    optimizer = session.optimizer(rules.adamw(lr=1e-3))
session.evaluate_every(20.0, lambda net: {"loss": loss_of(net, held_out).item()})

for (batch,) in session.batches((samples,), batch_size=options.batch):
    optimizer.zero_grad()
    loss = loss_of(model, batch)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    session.log(loss=loss.item())
    optimizer.step()

with torch.no_grad():
    print(f"loss on held-out text {loss_of(model, held_out):.2f}, of chance 4.85")
