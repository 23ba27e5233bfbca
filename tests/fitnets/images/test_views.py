"""Views against slicing and numpy's padding; plans against another process."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fitnets.config import Data
from fitnets.images.views import Plan, in_order, shuffled, view

CPU = torch.device("cpu")


@st.composite
def planned(draw: st.DrawFn) -> tuple[torch.Tensor, Plan, torch.Tensor]:
    """Images, a plan of them, and an index batch with repeats."""
    count, rows, columns = draw(st.integers(1, 5)), draw(st.integers(3, 9)), draw(st.integers(3, 9))
    channels = draw(st.integers(1, 3))
    most = min(rows, columns) - 1
    shifts = st.lists(st.integers(-most, most), min_size=count, max_size=count)
    flips = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    pixels = torch.arange(count * rows * columns * channels).reshape(count, rows, columns, channels)
    plan = Plan(torch.tensor(draw(shifts)), torch.tensor(draw(shifts)), torch.tensor(flips))
    index = torch.tensor(draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=6)))
    return pixels, plan, index


@settings(max_examples=150)
@given(planned())
def test_view_is_a_reflected_shift_then_a_flip(case: tuple[torch.Tensor, Plan, torch.Tensor]) -> None:
    pixels, plan, index = case
    _, rows, columns, _ = pixels.shape
    out = view(pixels, plan, index).numpy()
    for position, image in enumerate(index.tolist()):
        dy, dx, flip = int(plan.dy_N[image]), int(plan.dx_N[image]), bool(plan.flip_N[image])
        margin = max(rows, columns) - 1
        across = ((min(margin, rows - 1),) * 2, (min(margin, columns - 1),) * 2, (0, 0))
        padded = np.pad(pixels[image].numpy(), across, mode="reflect")
        top, left = across[0][0] + dy, across[1][0] + dx
        wanted = padded[top : top + rows, left : left + columns]
        wanted = wanted[:, ::-1] if flip else wanted
        assert np.array_equal(out[position], wanted.transpose(2, 0, 1))


def test_view_keeps_the_pixels_type_and_lies_channels_last() -> None:
    pixels = torch.randint(0, 256, (4, 6, 5, 3), dtype=torch.uint8)
    out = view(pixels, Plan.identity(4, CPU), torch.tensor([3, 1]))
    assert out.dtype == torch.uint8
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(out, pixels[[3, 1]].permute(0, 3, 1, 2))


def test_plans_are_equal_in_another_process() -> None:
    code = (
        "import torch; from fitnets.config import Data; from fitnets.images.views import Plan\n"
        "p = Plan.draw(50, 7, Data(name='digits', shift=3, flip=True, seed=5), torch.device('cpu'))\n"
        "print(p.dy_N.tolist(), p.dx_N.tolist(), p.flip_N.tolist())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    plan = Plan.draw(50, 7, Data(name="digits", shift=3, flip=True, seed=5), CPU)
    assert there == f"{plan.dy_N.tolist()} {plan.dx_N.tolist()} {plan.flip_N.tolist()}"


def test_plans_differ_by_epoch_and_seed_and_not_by_global_state() -> None:
    data = Data(name="digits", shift=3, flip=True)
    first = Plan.draw(200, 1, data, CPU)
    torch.manual_seed(99)
    again = Plan.draw(200, 1, data, CPU)
    assert torch.equal(first.dy_N, again.dy_N) and torch.equal(first.flip_N, again.flip_N)
    assert not torch.equal(first.dy_N, Plan.draw(200, 2, data, CPU).dy_N)
    assert not torch.equal(first.dy_N, Plan.draw(200, 1, data.changed(seed=1), CPU).dy_N)
    assert not torch.equal(first.dy_N, first.dx_N)


@pytest.mark.parametrize("shift", [0, 1, 4])
def test_shifts_reach_both_ends_and_no_further(shift: int) -> None:
    plan = Plan.draw(2000, 1, Data(name="digits", shift=shift), CPU)
    for moved in (plan.dy_N, plan.dx_N):
        assert set(moved.tolist()) == set(range(-shift, shift + 1))


def test_no_flip_unless_it_is_asked_for() -> None:
    for epoch in range(1, 5):
        assert not Plan.draw(500, epoch, Data(name="digits"), CPU).flip_N.any()


def test_flips_alternate_between_epochs() -> None:
    plans = [Plan.draw(500, epoch, Data(name="x", flip=True), CPU).flip_N for epoch in (1, 2, 3, 4)]
    assert torch.equal(plans[0], ~plans[1])
    assert torch.equal(plans[0], plans[2]) and torch.equal(plans[1], plans[3])
    assert 0.4 < float(plans[0].float().mean()) < 0.6


def test_still_is_the_image_itself() -> None:
    plan = Plan.identity(3, CPU)
    assert not plan.dy_N.any() and not plan.dx_N.any() and not plan.flip_N.any()


@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 99))
def test_shuffled_shows_each_image_once_at_most_and_drops_the_short_batch(count: int, batch: int, seed: int) -> None:
    batches = list(shuffled(count, batch, torch.Generator().manual_seed(seed), CPU))
    seen = torch.cat(batches).tolist()
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(range(count))
    sizes = [len(index) for index in batches]
    assert sizes == ([batch] * (count // batch) if count >= batch else [count])


def test_shuffled_order_is_the_generators() -> None:
    def order(seed: int) -> list[int]:
        return torch.cat(list(shuffled(40, 10, torch.Generator().manual_seed(seed), CPU))).tolist()

    assert order(1) == order(1) != order(2)
    assert order(1) != sorted(order(1))


@given(st.integers(1, 60), st.integers(1, 70))
def test_in_order_shows_every_image(count: int, batch: int) -> None:
    assert torch.cat(list(in_order(count, batch, CPU))).tolist() == list(range(count))


def test_random_flips_are_drawn_for_each_epoch() -> None:
    data = Data(name="digits", flip=True, flips="random")
    flips = torch.stack([Plan.draw(400, epoch, data, CPU).flip_N for epoch in range(1, 9)])
    assert torch.equal(flips[2], Plan.draw(400, 3, data, CPU).flip_N)
    assert len({tuple(row) for row in flips.tolist()}) == 8 == len({data.equivalent_epoch(e) for e in range(1, 9)})
    assert abs(float(flips.float().mean()) - 0.5) < 0.03
    share = (flips[:-1] == flips[1:]).float().mean()
    assert abs(float(share) - 0.5) < 0.03, "an epoch says nothing of the next one"
    assert Data(name="digits", flip=True, flips="random", plans=3).equivalent_epoch(4) == 1


@pytest.mark.parametrize(
    ("shift", "flip", "plans", "distinct"),
    [
        (0, False, None, 1),
        (0, True, None, 2),
        (1, False, None, 9),
        (1, True, None, 9),
        (0, False, 3, 1),
        (0, True, 4, 2),
        (1, False, 3, 3),
        (1, True, 4, 4),
        (1, True, 10, 9),
    ],
)
def test_epochs_are_alike_just_when_they_show_the_same_views(
    shift: int, flip: bool, plans: int | None, distinct: int
) -> None:
    data = Data(name="digits", shift=shift, flip=flip, plans=plans)
    drawn = {epoch: Plan.draw(40, epoch, data, CPU) for epoch in range(1, 10)}
    shown = {epoch: torch.stack([plan.dy_N, plan.dx_N, plan.flip_N.long()]) for epoch, plan in drawn.items()}
    for epoch, views in shown.items():
        same = [other for other, its in shown.items() if torch.equal(its, views)]
        assert data.equivalent_epoch(epoch) == min(same)
    assert len({data.equivalent_epoch(epoch) for epoch in shown}) == distinct
