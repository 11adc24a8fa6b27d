"""What the simulator refuses, in the shape of Stripe's errors and in our own words.

StripeFault
    InvalidRequest          400
        UnknownParameter    400 parameter_unknown
        MissingParameter    400 parameter_missing
        NotSimulated        400 parameter_not_simulated
    NoSuchObject            404 resource_missing, 400 where it is named in a parameter
    Unauthorized            401
    CardDeclined            402
    KeyInUse                409
    KeyReused               400 idempotency_error
    TooManyRequests         429
    ServerFault             500
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class StripeFault(Exception):
    """An answer that is an error. Its text is a fixed sentence and names of parameters."""

    status = 400
    type = "invalid_request_error"
    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.code
        self.more: Json = {}

    def body(self) -> Json:
        """Return the JSON of the answer."""
        error: Json = {"type": self.type, "message": self.message}
        if self.code is not None:
            error["code"] = self.code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        if self.param is not None:
            error["param"] = self.param
        return {"error": {**error, **self.more}}


class InvalidRequest(StripeFault):
    """A request that can never succeed as it is."""


class UnknownParameter(InvalidRequest):
    """A parameter that the method does not have, by the SDK's own types."""

    code = "parameter_unknown"

    def __init__(self, param: str) -> None:
        super().__init__(f"Received unknown parameter: {param}", param=param)


class MissingParameter(InvalidRequest):
    """A parameter that the method cannot do without."""

    code = "parameter_missing"

    def __init__(self, param: str) -> None:
        super().__init__(f"Missing required param: {param}.", param=param)


class NotSimulated(InvalidRequest):
    """Stripe knows it, the simulator does not: better refused than silently dropped."""

    code = "parameter_not_simulated"

    def __init__(self, param: str) -> None:
        super().__init__(f"The simulator does not know what this does: {param}", param=param)


class NoSuchObject(StripeFault):
    """An id that names nothing."""

    code = "resource_missing"

    def __init__(self, kind: str, param: str, *, in_path: bool = True) -> None:
        super().__init__(f"No such {kind}", param=param)
        self.status = 404 if in_path else 400


class NoSuchRoute(StripeFault):
    """A method and path that the simulator does not serve."""

    status = 404

    def __init__(self) -> None:
        super().__init__("Unrecognized request URL: the simulator does not serve it")


class Unauthorized(StripeFault):
    """No API key, or another one than the simulator was started with."""

    status = 401

    def __init__(self) -> None:
        super().__init__("Invalid API Key provided")


class CardDeclined(StripeFault):
    """The bank or Stripe refuses the card; carries the objects as they are after the refusal."""

    status = 402
    type = "card_error"

    def __init__(self, code: str, decline_code: str | None, message: str) -> None:
        super().__init__(message, code=code)
        if decline_code is not None:
            self.more["decline_code"] = decline_code


class KeyInUse(StripeFault):
    """A request with the same idempotency key is not finished yet."""

    status = 409
    type = "idempotency_error"
    code = "idempotency_key_in_use"

    def __init__(self) -> None:
        super().__init__("Another request with this idempotency key is in progress")


class KeyReused(StripeFault):
    """The idempotency key came with other parameters before."""

    type = "idempotency_error"

    def __init__(self) -> None:
        super().__init__(
            "Keys for idempotent requests can only be used with the parameters that they were "
            "first used with"
        )


class TooManyRequests(StripeFault):
    """The rate limit."""

    status = 429
    code = "rate_limit"

    def __init__(self) -> None:
        super().__init__("Too many requests in a period of time")


class ServerFault(StripeFault):
    """Stripe has a problem of its own."""

    status = 500
    type = "api_error"

    def __init__(self) -> None:
        super().__init__("An unknown error occurred")
