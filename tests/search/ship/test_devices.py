"""What a device can hold, as limits of a budget."""

from pathlib import Path

import pytest

from fitnets.errors import InputError
from search import cli
from search.read.budget import FOOTPRINT, Budget, broken, fitting
from search.read.candidates import Candidate
from search.read.reader import read
from search.ship.devices import DEVICES, within
from search.storage.address import storage_url
from tests.commands import invoke


@pytest.fixture(scope="module")
def candidates(finished: tuple[Path, Path]) -> tuple[Candidate, ...]:
    return read(storage_url(finished[1], None), "tiny").candidates


@pytest.mark.parametrize("limit", FOOTPRINT)
def test_a_limit_on_what_a_net_needs_keeps_out_what_needs_more(candidates: tuple[Candidate, ...], limit: str) -> None:
    values = sorted(getattr(c.footprint, FOOTPRINT[limit]) for c in candidates)
    for allowed in (values[0], values[1] - 1, values[2]):
        budget = Budget.model_validate({limit: allowed})
        kept = {c.trial for c in fitting(candidates, budget)}
        assert kept == {c.trial for c in candidates if getattr(c.footprint, FOOTPRINT[limit]) <= allowed}
        assert budget.known_before_export() == budget
    found = broken(candidates[0], Budget.model_validate({limit: 1}))
    assert [(b.limit, b.value) for b in found] == [(limit, getattr(candidates[0].footprint, FOOTPRINT[limit]))]


def test_every_device_has_limits_and_a_source() -> None:
    for name, device in DEVICES.items():
        assert device.limits() and device.source
        assert Budget.model_validate(device.limits()) == within(Budget(), name)
    assert DEVICES["nrf52840"].limits() == {"max_int8_size": 1024 * 1024, "max_int8_memory": 256 * 1024}
    assert DEVICES["rp2040"].title == "RP2040 on a Pico: 2 MiB flash, 264 KiB RAM"


def test_the_tighter_limit_holds() -> None:
    own = Budget(max_int8_memory=10_000, max_int8_size=10**9, max_params=500)
    found = within(own, "stm32f411")
    assert (found.max_int8_memory, found.max_int8_size, found.max_params) == (10_000, 512 * 1024, 500)


def test_an_unknown_device_is_refused_with_the_known_ones(finished: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`--device` is `z80`, but the known devices are stm32f411, "):
        within(Budget(), "z80")
    words = ("--runs", finished[1], "--out", tmp_path / "out")
    result = invoke("pick", finished[0], "--device", "z80", *words)
    assert result.exit_code == cli.WRONG_INPUT and "the known devices are" in result.stderr
    result = invoke("pick", finished[0], "--max-memory", "many", *words)
    assert result.exit_code == cli.WRONG_INPUT and "`--max-memory` is `many`, but a size is written as" in result.stderr
    result = invoke("pick", finished[0], "--max-memory", "10", *words)
    assert result.exit_code == cli.WRONG_INPUT and "`max_memory` allows 10, it has" in result.stderr
    assert not (tmp_path / "out").exists()
