"""What may go wrong with stored objects; no error carries a URL or a credential.

StoreUnavailable   the store did not answer, is full, or refused us
ObjectMissing      there is no object of that name
ObjectExists       there is one already, and it may not be replaced
ObjectDamaged      its bytes are not those that were written
ObjectTooLarge     it could not be read back whole, so it is not written
"""

from __future__ import annotations

from kit.reasons import AlreadyExists, InvalidState, NotFound, Unavailable


class StoreUnavailable(Unavailable):
    """The archive's store cannot be used now."""


class ObjectMissing(NotFound):
    """The archive's store has no such object."""


class ObjectExists(AlreadyExists):
    """The archive's store has an object of that name already."""


class ObjectDamaged(InvalidState):
    """An object of the archive is not what was written."""


class ObjectTooLarge(InvalidState):
    """An object that is read whole would be larger than what is read."""
