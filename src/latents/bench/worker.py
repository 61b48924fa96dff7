"""Processes in which the benchmark measures: the allocator's settings and peak memory belong to a process."""

import concurrent.futures
import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from latents.study import ALLOCATOR


@contextlib.contextmanager
def variables(wanted: dict[str, str], without: Iterable[str] = ()) -> Iterator[None]:
    """Inside, the environment has these variables, and lacks those of `without` that are not among them."""
    before = {name: os.environ.pop(name, None) for name in {*wanted, *without}}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


class Worker:
    """A process of its own, with or without the settings of ALLOCATOR, that runs one call after the other."""

    def __init__(self, *, tuned: bool = True) -> None:
        self.tuned = tuned
        self.pool = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown()

    def __call__(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """What the function returns in that process."""
        with variables(ALLOCATOR if self.tuned else {}, ALLOCATOR):  # the first call starts the process
            return self.pool.submit(function, *arguments, **keywords).result()
