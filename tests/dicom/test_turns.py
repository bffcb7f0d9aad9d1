"""Frames over threads: each once, buffers of each thread its own, the first frame's error whatever the threads."""

from __future__ import annotations

import threading

import pytest

from fastimg.dicom._turns import in_turns


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_each_number_once_and_what_is_made_belongs_to_one_thread(threads):
    made, done = [], []

    def make():
        owner = threading.current_thread()
        made.append(owner)

        def one(number):
            assert threading.current_thread() == owner
            done.append(number)

        return one

    in_turns(make, range(3, 400), threads)
    assert sorted(done) == list(range(3, 400))
    assert len(made) == len(set(made)) == threads


def test_not_more_threads_than_numbers():
    made = []
    in_turns(lambda: made.append(1) or (lambda number: None), [7], 8)
    assert len(made) == 1


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_of_several_errors_the_first_number_s_is_raised_and_later_numbers_are_left(threads):
    done = []
    both = threading.Barrier(min(threads, 2), timeout=20)

    def one(number):
        if number in (10, 11):
            both.wait()  # where there are threads, both fail
            raise ValueError(f"number {number}")
        done.append(number)

    with pytest.raises(ValueError, match="number 10"):
        in_turns(lambda: one, range(100_000), threads)
    assert len(done) < 100_000 - 2
