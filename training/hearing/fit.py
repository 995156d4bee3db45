"""Fits the weights of `lipsync_core.generators.viseme.hearing`.

    python -m training.hearing.fit CLIPS SPOKEN OUT.npz [--without PERSON ...]

CLIPS and SPOKEN are the folders that `training.hearing.mouths` and `training.hearing.speech` wrote. `--without` leaves
people out, for an evaluation. Seeds are fixed. It needs PyTorch; the product does not.

Two models are added. A ridge over the rows of 0.2 s on both sides gives speech, and half of jaw and width: it leans
towards the same ridge fitted to synthetic speech. A network of three layers (0.12 s on both sides) gives the other half
and the lips' other movements.
"""

import argparse
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.hearing.corpus import TARGETS, Corpus, load

_log = logging.getLogger(__name__)
_Array = NDArray[np.float64]

#: Rows that the ridge looks at.
OFFSETS = (-10, -6, -3, -1, 0, 1, 3, 6, 10)
_PRIOR_RIDGE, _RIDGE, _SPEECH_RIDGE = 0.03, 2.0, 1e-3
_MOST_ROWS = 4200  # of one person count in full; more of the same person count less
_SPEECH = TARGETS.index("speech")

_HIDDEN, _KERNEL, _DILATIONS = 64, 5, (1, 2)
_STEPS, _BATCH, _LENGTH = 1600, 24, 128
_NOISE = (0.3, 0.15)  # of the spread: the same for a whole stretch, and for each row
_AHEAD_OF_RIDGE = 0.5  # the network's share of jaw and width


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """What a ridge needs of its samples."""

    count: float
    xx: _Array  # (K, K)
    xy: _Array  # (K, T)
    x: _Array  # (K,)
    y: _Array  # (T,)

    @classmethod
    def of(cls, inputs: NDArray[np.float32], outputs: NDArray[np.float32]) -> "Sums":
        """The sums over samples (N, K) and (N, T)."""
        wide, aims = inputs.astype(np.float64), outputs.astype(np.float64)
        return cls(len(wide), wide.T @ wide, wide.T @ aims, wide.sum(axis=0), aims.sum(axis=0))

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.count + other.count, self.xx + other.xx, self.xy + other.xy, self.x + other.x, self.y + other.y
        )

    def times(self, factor: float) -> "Sums":
        """The same samples, each counting `factor` times."""
        return Sums(self.count * factor, self.xx * factor, self.xy * factor, self.x * factor, self.y * factor)

    def moments(self) -> tuple[_Array, _Array]:
        """The covariances (K, K) and (K, T)."""
        x, y = self.x / self.count, self.y / self.count
        return self.xx / self.count - np.outer(x, x), self.xy / self.count - np.outer(x, y)


def ridge(sums: Sums, strength: float, prior: _Array | None = None) -> tuple[_Array, _Array]:
    """A map (K, T) and its bias (T,), drawn towards `prior` at the scale that fits best."""
    xx, xy = sums.moments()
    pull = strength * np.diag(np.diag(xx))
    if prior is not None:
        gain = (prior * xy).sum(axis=0) / (prior * (xx @ prior)).sum(axis=0)
        xy = xy + pull @ (prior * gain)
    fitted = np.linalg.solve(xx + pull, xy).astype(np.float64)
    return fitted, (sums.y - sums.x @ fitted) / sums.count


def around(low: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, len(OFFSETS) * 128): each row with its neighbours."""
    places = np.clip(np.arange(len(low))[:, np.newaxis] + np.array(OFFSETS), 0, len(low) - 1)
    joined: NDArray[np.float32] = low[places].reshape(len(low), -1)
    return joined


def linear(corpus: Corpus) -> tuple[_Array, _Array]:
    """The ridge's map (K, 3) and bias (3,): jaw, width, speech."""
    known = [Sums.of(around(part.low)[::4], part.targets[::4]) for part in corpus.known]
    synthetic = sum(known[1:], known[0])
    prior = ridge(synthetic, _PRIOR_RIDGE)[0][:, :2]
    people = []
    for person in sorted({part.person for part in corpus.seen}):
        parts = [Sums.of(around(part.low), part.mouth) for part in corpus.seen if part.person == person]
        whole = sum(parts[1:], parts[0])
        # Each person's own mean goes: people differ in how open they rest, and a sound does not tell it.
        centred = whole.moments()
        share = min(1.0, _MOST_ROWS / whole.count) * whole.count
        zero = np.zeros(len(whole.y))
        people.append(Sums(share, centred[0] * share, centred[1] * share, np.zeros(len(whole.x)), zero))
    mouths = sum(people[1:], people[0])
    fitted = ridge(mouths, _RIDGE, prior)[0]
    rows = np.concatenate([part.low for part in corpus.seen])
    mean = np.tile(rows.mean(axis=0), len(OFFSETS)).astype(np.float64)
    speech, bias = ridge(_speech_sums(corpus), _SPEECH_RIDGE)
    return np.concatenate([fitted, speech], axis=1), np.concatenate([-mean @ fitted, bias])


def _speech_sums(corpus: Corpus) -> Sums:
    """Speech against sounds that are none, in equal shares."""
    parts = [Sums.of(around(part.low)[::6], part.targets[::6, _SPEECH:][:, :1]) for part in corpus.known]
    for part in corpus.seen:
        loud = part.is_loud
        parts.append(Sums.of(around(part.low[loud])[::2], np.ones((len(range(0, int(loud.sum()), 2)), 1), np.float32)))
    speech = sum(parts[1:], parts[0])
    none = [Sums.of(around(low), np.zeros((len(low), 1), np.float32)) for low in corpus.others]
    other = sum(none[1:], none[0])
    return speech + other.times(speech.count / other.count)


class Network(torch.nn.Module):
    """Rows to a hidden layer, and two convolutions with shortcuts."""

    def __init__(self, spread: torch.Tensor) -> None:
        super().__init__()
        self.spread = spread
        self.enter = torch.nn.Conv1d(len(spread), _HIDDEN, 1)
        self.middle: Iterable[torch.nn.Conv1d] = torch.nn.ModuleList(  # type: ignore[assignment]
            torch.nn.Conv1d(_HIDDEN, _HIDDEN, _KERNEL, dilation=step, padding=step * (_KERNEL // 2))
            for step in _DILATIONS
        )
        self.leave = torch.nn.Conv1d(_HIDDEN, 7, 1)
        self.drop = torch.nn.Dropout(0.1)

    def forward(self, low: torch.Tensor) -> torch.Tensor:
        """(B, N, 7) for (B, N, 128): gap, width, closure's logit, tuck, tongue; jaw and width of synthetic mouths."""
        hidden = torch.relu(self.enter((low / self.spread).transpose(1, 2)))  # (B, H, N)
        for layer in self.middle:
            hidden = hidden + torch.relu(layer(self.drop(hidden)))
        told: torch.Tensor = self.leave(self.drop(hidden)).transpose(1, 2)
        return told


def network(corpus: Corpus, steps: int = _STEPS) -> Network:
    """Trained on synthetic speech and real mouths at once."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    known = [_stretches(part.low, part.targets) for part in corpus.known]
    lows, aims = (np.concatenate(parts) for parts in zip(*known, strict=True))
    seen = [part for part in corpus.seen if len(part.low) >= _LENGTH]
    people = sorted({part.person for part in seen})
    by_person = [[part for part in seen if part.person == person] for person in people]
    chances = np.sqrt([len(parts) for parts in by_person])
    spread = torch.tensor(lows.reshape(-1, lows.shape[-1]).std(axis=0))
    model = Network(spread)
    adam = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.02)
    rate = torch.optim.lr_scheduler.OneCycleLR(adam, 3e-3, total_steps=steps)
    for step in range(steps):
        picked = random.integers(0, len(lows), _BATCH)
        stretches, mouths = [], []
        for index in random.choice(len(people), _BATCH, p=chances / chances.sum()):
            part = by_person[index][random.integers(len(by_person[index]))]
            start = random.integers(0, len(part.low) - _LENGTH + 1)
            stretches.append(part.low[start : start + _LENGTH])
            mouths.append(part.mouth[start : start + _LENGTH])
        low = torch.tensor(np.concatenate([lows[picked], np.stack(stretches)]))
        once, each = _NOISE
        low = low + spread * (once * torch.randn(len(low), 1, low.shape[-1]) + each * torch.randn_like(low))
        told = model(low)
        loss = _loss_known(told[:_BATCH], torch.tensor(aims[picked]))
        loss = loss + _loss_seen(told[_BATCH:], torch.tensor(np.stack(mouths)))
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        rate.step()
        if step % 200 == 0:
            _log.info("step %d: %.3f", step, loss.item())
    return model.eval()


def _stretches(low: NDArray[np.float32], aims: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    whole = len(low) // _LENGTH
    cut = whole * _LENGTH
    return low[:cut].reshape(whole, _LENGTH, -1), aims[:cut].reshape(whole, _LENGTH, -1)


def _loss_known(told: torch.Tensor, aims: torch.Tensor) -> torch.Tensor:
    """A missed closure costs twice as much as one too many."""
    meet = torch.nn.functional.binary_cross_entropy_with_logits(
        told[..., 2], (aims[..., 6] > 0).float(), pos_weight=torch.tensor(2.0)
    )
    others = torch.square(told[..., 3:7] - aims[..., [3, 4, 0, 1]]).mean()
    loss: torch.Tensor = meet + 4.0 * others
    return loss


def _loss_seen(told: torch.Tensor, mouth: torch.Tensor) -> torch.Tensor:
    """Gap and width; and lips that are seen apart are not pressed together."""
    # Each stretch's own mean goes: how open a person rests cannot be heard.
    apart = told[..., :2] - mouth
    apart = apart - 0.7 * apart.mean(dim=1, keepdim=True)
    open_lips = (torch.nn.functional.max_pool1d(-mouth[..., 0].unsqueeze(1), 3, 1, 1).squeeze(1) < -0.2).float()
    closure = torch.nn.functional.softplus(told[..., 2]) * open_lips
    loss: torch.Tensor = torch.square(apart).mean() + 0.5 * closure.mean()
    return loss


def arrays_of(corpus: Corpus) -> dict[str, Any]:
    """The arrays of `hearing.npz`."""
    fitted, bias = linear(corpus)
    model = network(corpus)
    axes, mean = corpus.basis.axes, corpus.basis.mean
    dimensions = axes.shape[2]
    by_row = fitted.reshape(len(OFFSETS), 2, dimensions, 3)
    maps = np.einsum("clpo,lkp->clko", by_row, axes)  # (C, 2, 384, 3)
    bias = bias - np.einsum("clko,lk->o", maps, mean)
    share = np.array([1 - _AHEAD_OF_RIDGE, 1 - _AHEAD_OF_RIDGE, 1.0])
    with torch.no_grad():
        enter = (model.enter.weight[:, :, 0] / model.spread).numpy().astype(np.float64)  # (H, 128)
        into = np.einsum("hlp,lkp->lkh", enter.reshape(-1, 2, dimensions), axes)  # (2, 384, H)
        into_bias = _bias(model.enter) - np.einsum("lkh,lk->h", into, mean)
        # (2, kernel, H in, H out)
        convolutions = np.stack([layer.weight.permute(2, 1, 0).numpy() for layer in model.middle])
        convolution_bias = np.stack([_bias(layer) for layer in model.middle])
        out = model.leave.weight[:5, :, 0].T.numpy() * np.array([_AHEAD_OF_RIDGE, _AHEAD_OF_RIDGE, 1, 1, 1])
        out_bias = _bias(model.leave)[:5] * np.array([_AHEAD_OF_RIDGE, _AHEAD_OF_RIDGE, 1, 1, 1])
    half = np.float16
    return {
        "offsets": np.array(OFFSETS, np.int8),
        "maps": (maps.reshape(len(OFFSETS), -1, 3) * share).astype(np.float32),
        "bias": (bias * share).astype(np.float32),
        "enter": into.reshape(-1, into.shape[-1]).astype(np.float32),
        "enter_bias": into_bias.astype(np.float32),
        "convolutions": convolutions.astype(half),
        "convolution_bias": convolution_bias.astype(np.float32),
        "leave": out.astype(np.float32),
        "leave_bias": out_bias.astype(np.float32),
    }


def _bias(layer: torch.nn.Conv1d) -> NDArray[np.float32]:
    if layer.bias is None:
        raise ValueError("a layer without a bias")
    bias: NDArray[np.float32] = layer.bias.numpy()
    return bias


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", type=Path)
    parser.add_argument("spoken", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--without", nargs="*", default=[])
    asked = parser.parse_args()
    corpus = load(asked.clips, asked.spoken, frozenset(asked.without))
    _log.info("%d stretches of %d people", len(corpus.seen), len({part.person for part in corpus.seen}))
    np.savez(asked.out, **arrays_of(corpus))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
