"""Who did what to which object, and when: one row for each state-changing call."""

from core.audit.log import Act, append

__all__ = ["Act", "append"]
