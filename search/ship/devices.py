"""Devices to deploy to, as limits: flash and RAM of common microcontrollers, a phone, a browser. No torch.

Of a microcontroller, flash limits the int8 weights and RAM the peak memory of int8 activations. All of it counts, and
the program, its stack and the runtime need part of both: tighten the limits by what yours take.
"""

from pydantic import PositiveInt

from fitnets.errors import InputError
from fitnets.values.base import Value
from search.read.budget import Budget

KIB = 1024


class Device(Value):
    """A device's limits, and where they are from."""

    title: str
    source: str
    """The document that states the numbers."""
    flash: PositiveInt | None = None
    """Bytes for the int8 weights."""
    ram: PositiveInt | None = None
    """Bytes for int8 activations."""
    max_params: PositiveInt | None = None
    max_macs: PositiveInt | None = None
    max_size_kb: float | None = None

    def limits(self) -> dict[str, float]:
        """The limits of a budget, by their names."""
        named = {
            "max_int8_size": self.flash,
            "max_int8_memory": self.ram,
            "max_params": self.max_params,
            "max_macs": self.max_macs,
            "max_size_kb": self.max_size_kb,
        }
        return {name: value for name, value in named.items() if value is not None}


def _board(name: str, flash_kib: int, ram_kib: int, source: str) -> Device:
    flash = f"{flash_kib} KiB" if flash_kib < KIB else f"{flash_kib // KIB} MiB"
    title = f"{name}: {flash} flash, {ram_kib} KiB RAM"
    return Device(title=title, source=source, flash=flash_kib * KIB, ram=ram_kib * KIB)


DEVICES = {
    "stm32f411": _board("STM32F411xE", 512, 128, "STMicroelectronics, data sheet DS10314, cover page"),
    "stm32f746": _board("STM32F746xG", 1024, 320, "STMicroelectronics, data sheet DS10916, cover page"),
    "nrf52840": _board("nRF52840", 1024, 256, "Nordic Semiconductor, nRF52840 Product Specification, Key features"),
    "rp2040": _board(
        "RP2040 on a Pico", 2048, 264, "Raspberry Pi, RP2040 Datasheet, 1 Introduction; Pico Datasheet, 1 (its flash)"
    ),
    "esp32-s3": _board(
        "ESP32-S3-WROOM-1-N8", 8192, 512, "Espressif, ESP32-S3 Series Datasheet; ESP32-S3-WROOM-1 Datasheet, Table 1"
    ),
    "phone": Device(
        title="phone, as MobileNetV2: 3.4M parameters, 300M multiply-adds",
        source="Sandler et al., MobileNetV2, CVPR 2018, Table 4: 75 ms on a Pixel 1",
        max_params=3_400_000,
        max_macs=300_000_000,
    ),
    "browser": Device(
        title="browser: weights of 2.3 MB, a median page",
        source="HTTP Archive, Web Almanac 2024, Page Weight: 2,311 KB for the median mobile page",
        max_size_kb=2311.0,
    ),
}


def within(budget: Budget, name: str) -> Budget:
    """The budget with a device's limits too, the tighter one of each. Raises InputError for an unknown device."""
    if name not in DEVICES:
        raise InputError(f"`--device` is `{name}`, but the known devices are {', '.join(DEVICES)}.")
    tighter = {
        limit: value if (own := getattr(budget, limit)) is None else min(own, value)
        for limit, value in DEVICES[name].limits().items()
    }
    return Budget.model_validate({**budget.model_dump(), **tighter})
