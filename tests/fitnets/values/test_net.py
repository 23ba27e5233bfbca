"""Nets as values: what is refused, and how layers are counted and grouped."""

from typing import Any

import pytest
from pydantic import ValidationError

from fitnets.values.base import explain
from fitnets.values.net import Conv, Dense, Net


def refusal(build: Any, *arguments: Any, **fields: Any) -> str:
    """What a person is told."""
    with pytest.raises(ValidationError) as caught:
        build(*arguments, **fields)
    return explain(caught.value)


def test_a_gap_between_pooling_windows_is_refused() -> None:
    message = refusal(Conv, width=4, pool=2, pool_stride=3)
    assert message == "`pool_stride` is 3, but must not exceed `pool` (=2): choose 1..2."


def test_a_kernel_larger_than_its_map_is_refused_by_number() -> None:
    convs = (Conv(width=4, kernel=3, pad=0), Conv(width=4, kernel=5, pad=0))
    message = refusal(Net, input=(1, 6, 6), convs=convs, classes=2)
    assert "`convs[2]` has a kernel of 5" in message
    assert "more padding" in message


def test_a_pooling_larger_than_its_map_is_refused() -> None:
    message = refusal(Net, input=(1, 4, 4), convs=(Conv(width=4, pool=5, pool_stride=5),), classes=2)
    assert message == "`convs[1].pool` is 5, but the map is 4x4: choose 1..4."


@pytest.mark.parametrize(
    "fields",
    [{"convs": ()}, {"classes": 1}, {"norm": "layer"}, {"dense": (Dense(width=1), {"width": 0})}, {"extra": 1}],
)
def test_nonsense_is_refused(fields: dict[str, Any]) -> None:
    whole = {"input": (1, 8, 8), "convs": (Conv(width=4),), "classes": 2}
    assert Net.model_validate(whole).depth == 2
    assert refusal(Net.model_validate, whole | fields)


def test_an_empty_stage_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stage 2 has no convolution"):
        Net.staged((1, 8, 8), 10, ((4,), ()))


def test_too_many_stages_for_the_images_are_refused() -> None:
    with pytest.raises(ValueError, match="pool"):
        Net.staged((1, 4, 4), 10, ((4,),) * 5)


def test_stages_depth_and_features() -> None:
    net = Net.staged((3, 32, 24), 10, ((4, 8), (8,), (12, 12, 16)), dense=(Dense(width=5),))
    assert net.stages == ((4, 8), (8,), (12, 12, 16))
    assert net.depth == 8
    assert net.features == 16
    assert [after for _, after in net.maps()][1::2] == [(8, 16, 12), (12, 8, 6), (16, 1, 1)]


def test_a_net_that_ends_without_pooling_keeps_its_last_stage() -> None:
    net = Net(input=(1, 8, 8), convs=(Conv(width=4, pool=2, pool_stride=2), Conv(width=8)), classes=2)
    assert net.stages == ((4,), (8,))
    assert net.features == 8 * 16


def test_staged_adds_inputs_of_equal_width_within_a_stage() -> None:
    net = Net.staged((3, 32, 32), 10, ((4, 4, 8, 8), (8, 8), (8,)), shortcuts=True)
    assert [conv.shortcut for conv in net.convs] == [False, True, False, True, False, True, False]
    assert not any(conv.shortcut for conv in Net.staged((3, 32, 32), 10, ((4, 4), (4, 4))).convs)


def test_nets_of_before_have_the_digests_of_before() -> None:
    net = Net.staged((1, 8, 8), 10, ((4, 4), (6,)))
    assert net.digest() == "04c70d5da96f4fe9bfd9767be33e45a3416d19f44519da21017aa5d37a7e3f5b"
    assert Net.staged((1, 8, 8), 10, ((4, 4), (6,)), shortcuts=True).digest() != net.digest()
    assert Net.staged((1, 8, 8), 10, ((4,), (6,)), shortcuts=True) == Net.staged((1, 8, 8), 10, ((4,), (6,)))


@pytest.mark.parametrize(
    ("convs", "message"),
    [
        ((Conv(width=1, shortcut=True),), "`convs[1].shortcut` is set, but its stage begins with it"),
        (
            (Conv(width=4, pool=2, pool_stride=1), Conv(width=4, shortcut=True)),
            "`convs[2].shortcut` is set, but its stage begins with it",
        ),
        (
            (Conv(width=4), Conv(width=6, shortcut=True)),
            "`convs[2].shortcut` is set, but its map is 6x8x8, its input 4x8x8",
        ),
        (
            (Conv(width=4), Conv(width=4, pad=0, shortcut=True)),
            "`convs[2].shortcut` is set, but its map is 4x6x6, its input 4x8x8",
        ),
    ],
)
def test_a_shortcut_between_unequal_shapes_is_refused(convs: tuple[Conv, ...], message: str) -> None:
    found = refusal(Net, input=(1, 8, 8), convs=convs, classes=2)
    assert found.startswith(message)
    assert "set it to False" in found


def test_a_shortcut_may_lie_before_its_own_pooling() -> None:
    net = Net(input=(1, 8, 8), convs=(Conv(width=4), Conv(width=4, pool=2, pool_stride=2, shortcut=True)), classes=2)
    assert net.maps()[1] == ((4, 8, 8), (4, 4, 4))
