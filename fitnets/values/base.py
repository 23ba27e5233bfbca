"""The base of every value in the project: frozen, closed to unknown fields, with one canonical JSON and digest."""

import hashlib
import json
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Value(BaseModel):
    """A frozen record. Equal values have equal JSON and so an equal digest, in every process and on every machine."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def canonical(self) -> str:
        """JSON with sorted keys and no white space: what the digest is taken of."""
        return canonical_json(self.model_dump(mode="json"))

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
        return sha256(self.canonical())

    def changed(self, **fields: Any) -> Self:
        """A copy with `fields` replaced, validated again (pydantic's own `model_copy` validates nothing)."""
        return type(self).model_validate({**dict(self), **fields})


def later(default: Any, **rules: Any) -> Any:
    """A field that came after values were stored: at its default it is not written, so that their digests stay."""
    return Field(default, exclude_if=lambda value: value == default, **rules)


def canonical_json(value: Any) -> str:
    """Sorted keys, no white space, no NaN: two equal values give the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256(text: str | bytes) -> str:
    """The SHA-256 of `text`, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def seed_of(*parts: object) -> int:
    """A 63-bit seed that depends on every part, the same in every process (unlike `hash`)."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8]) >> 1


def explain(error: ValidationError) -> str:
    """A validation error as plain lines, `field: what is wrong`, one for each problem."""
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        what = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {what}" if where else what)
    return "\n".join(lines)
