"""The base of every value in the project: frozen, without unknown fields, with a canonical JSON and a digest."""

import hashlib
import json
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Value(BaseModel):
    """A frozen record. Equal values have equal JSON and so an equal digest, in every process and on every machine."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def canonical(self) -> str:
        """JSON with sorted keys and no white space, of which the digest is computed."""
        return canonical_json(self.model_dump(mode="json"))

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
        return sha256(self.canonical())

    def changed(self, **fields: Any) -> Self:
        """A copy with `fields` replaced, validated again (pydantic's `model_copy` does not validate)."""
        return type(self).model_validate({**dict(self), **fields})


def later(default: Any, **rules: Any) -> Any:
    """A field added after values were stored: it is not written at its default, so that their digests do not change."""
    return Field(default, exclude_if=lambda value: value == default, **rules)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no white space and no NaN: two equal values give the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256(text: str | bytes) -> str:
    """The SHA-256 of `text`, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def seed_of(*parts: object) -> int:
    """A 63-bit seed that depends on every part, the same in every process (unlike `hash`)."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8]) >> 1


def explain(error: ValidationError) -> str:
    """A validation error as text, a line `field: what is wrong` for each problem."""
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        what = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {what}" if where else what)
    return "\n".join(lines)
