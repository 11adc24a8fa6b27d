"""What core is told about credit."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import field_validator

from kit.money import InvalidAmountError, parse_dollars
from kit.settings import ProcessSettings

GOODWILL_PERIOD: Final = timedelta(days=30)


class LedgerSettings(ProcessSettings):
    """How much support may give away."""

    support_goodwill_max: str = "25.00"
    """US dollars of goodwill credit from support, for each workspace and any 30 days."""

    @field_validator("support_goodwill_max")
    @classmethod
    def _is_an_amount(cls, value: str) -> str:
        try:
            nanos = parse_dollars(value)
        except InvalidAmountError:
            raise ValueError from None
        if nanos < 0:
            raise ValueError
        return value

    @property
    def support_goodwill_nanos(self) -> int:
        """Return what support may give, in nano-dollars."""
        return parse_dollars(self.support_goodwill_max)
