"""Solves Poisson's equation on a rectangle of pixels, with 0 on the pixels around it.

The five-point Laplacian is diagonal in products of sines (the method behind every fast Poisson solver; Buzbee,
Golub and Nielson 1970, "On direct methods for solving Poisson's equations").
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

#: The number of lengths whose sines are kept (80 kB each at 200 px): the sides of a tracked face vary by a few pixels.
_KEPT_LENGTHS = 32


class DirichletSolver:
    """Solves laplace(u) = f on a grid of (rows, columns) pixels, u being 0 on the pixels around it.

    At the size of a face, multiplying by matrices of sines is faster than Fourier transforms of twice the
    length. One solver serves one thread.
    """

    def __init__(self, rows: int, columns: int) -> None:
        self._down, self._across = _sines(rows), _sines(columns)
        self._inverse = 1.0 / (self._across.eigenvalues[:, np.newaxis] + self._down.eigenvalues)  # (columns, rows)
        self._one, self._other = np.empty((2, rows * columns), np.float32)

    def solve(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """(rows, columns) u for f = `plane`, which is overwritten; valid until the next call.

        Raises:
            ValueError: `plane` has another size.
        """
        shape, turned = self._inverse.shape[::-1], self._inverse.shape
        if plane.shape != shape:
            raise ValueError(f"plane {plane.shape} for a solver of {shape}")
        rows = self._down.analyse(plane, self._one.reshape(shape))
        amplitudes = self._across.analyse(rows.T, self._other.reshape(turned))
        amplitudes *= self._inverse
        columns = self._across.synthesise(amplitudes, self._one.reshape(turned))
        return self._down.synthesise(columns.T, self._other.reshape(shape))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Sines:
    """The n sines that vanish one step outside a column of n samples (DST-I), orthonormal.

    Half of them are mirror-symmetric, half antisymmetric: working on sums and differences of mirrored
    samples takes half the multiplications.
    """

    symmetric: NDArray[np.float32]  # (ceil(n / 2), ceil(n / 2)): the first samples of each such sine
    antisymmetric: NDArray[np.float32]  # (floor(n / 2), floor(n / 2)): the last samples of each, negative
    eigenvalues: NDArray[np.float32]  # (n,) of the second difference: the symmetric sines', then the others'

    def analyse(self, samples: NDArray[np.float32], amplitudes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Amplitudes of the columns of `samples` (n, m), the symmetric sines' first; overwrites both arguments."""
        middle = len(self.symmetric)
        _add_mirrored(samples)
        np.matmul(self.symmetric.T, samples[:middle], out=amplitudes[:middle])
        np.matmul(self.antisymmetric.T, samples[len(samples) - len(self.antisymmetric) :], out=amplitudes[middle:])
        return amplitudes

    def synthesise(self, amplitudes: NDArray[np.float32], samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, m) `samples`, overwritten by the inverse of `analyse`."""
        middle = len(self.symmetric)
        np.matmul(self.symmetric, amplitudes[:middle], out=samples[:middle])
        np.matmul(self.antisymmetric, amplitudes[middle:], out=samples[middle:])
        _add_mirrored(samples)
        return samples


def _add_mirrored(samples: NDArray[np.float32]) -> None:
    """Replace the halves, in place, by the sum and the difference of the first and the mirrored last one."""
    half = len(samples) // 2
    first, last = samples[:half], samples[len(samples) - half :]
    first += last[::-1]
    last *= -2.0
    last += first[::-1]


@lru_cache(maxsize=_KEPT_LENGTHS)
def _sines(length: int) -> _Sines:
    """The sines over `length` samples."""
    half_waves = np.arange(1, length + 1)
    ordered = np.concatenate([half_waves[::2], half_waves[1::2]])  # an odd number of them is symmetric
    half = (length + 1) // 2
    angles = np.pi / (length + 1) * np.outer(np.arange(1, half + 1), ordered)
    sines = (np.sqrt(2.0 / (length + 1)) * np.sin(angles)).astype(np.float32)
    return _Sines(
        symmetric=np.ascontiguousarray(sines[:, :half]),
        antisymmetric=np.ascontiguousarray(sines[: length // 2, half:][::-1]),
        eigenvalues=(2.0 * np.cos(np.pi / (length + 1) * ordered) - 2.0).astype(np.float32),
    )
