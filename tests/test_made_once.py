"""Files of a whole test run: made by the first that asks, also when several ask at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from tests.made_once import made_once


def test_those_who_ask_at_once_get_one_whole_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    name, made = f"{uuid4()}.bin", []
    tmp_path_factory.getbasetemp()  # pytest makes it at the first call, which threads must not race for

    def make(path: Path) -> None:
        made.append(path)
        with path.open("wb") as file:
            for _ in range(100):
                file.write(bytes(10_000))
                file.flush()

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(lambda: made_once(tmp_path_factory, name, make).read_bytes()) for _ in range(16)]
        sizes = {len(each.result()) for each in asked}
    assert sizes == {1_000_000}
    [partial] = made
    assert (partial.suffix, partial.exists()) == (".bin", False)
    made_once(tmp_path_factory, name, make).unlink()


def test_the_next_one_makes_the_file_when_making_it_fails(tmp_path_factory: pytest.TempPathFactory) -> None:
    name = f"{uuid4()}.txt"

    def fail(path: Path) -> None:
        path.write_text("half")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        made_once(tmp_path_factory, name, fail)
    path = made_once(tmp_path_factory, name, lambda path: path.write_text("whole"))
    assert path.read_text() == "whole"
    path.unlink()
