"""The solver, checked by putting its answer back into the equation."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.blend.dirichlet import DirichletSolver


def laplace(inside: NDArray[np.float32]) -> NDArray[np.float64]:
    """The five-point Laplacian of a grid that is 0 all around."""
    grid = np.pad(inside.astype(np.float64), 1)
    return grid[1:-1, 2:] + grid[1:-1, :-2] + grid[2:, 1:-1] + grid[:-2, 1:-1] - 4 * grid[1:-1, 1:-1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (7, 1), (2, 2), (5, 4), (33, 64), (101, 37)])
def test_the_answer_solves_the_equation(shape: tuple[int, int]) -> None:
    given = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    answer = DirichletSolver(*shape).solve(given.copy())
    assert answer.shape == shape
    np.testing.assert_allclose(laplace(answer), given, atol=5e-5)


def test_a_solver_can_be_used_again() -> None:
    first, second = np.random.default_rng(6).normal(size=(2, 20, 31)).astype(np.float32)
    solver = DirichletSolver(20, 31)
    solver.solve(first)
    np.testing.assert_allclose(laplace(solver.solve(second.copy())), second, atol=5e-5)


def test_solving_fails_when_the_plane_has_another_size() -> None:
    with pytest.raises(ValueError, match=r"\(4, 4\)"):
        DirichletSolver(5, 4).solve(np.zeros((4, 4), np.float32))
