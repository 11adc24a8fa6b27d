"""What a client's body can get wrong, one class for each situation, with OpenAI's code for it.

    InvalidRequest              400, type `invalid_request_error`
    ├── MissingParameter        missing_required_parameter
    ├── InvalidType             invalid_type
    ├── EmptyArray              empty_array
    ├── IntegerBelowMinimum     integer_below_min_value
    ├── IntegerAboveMaximum     integer_above_max_value
    ├── InvalidValue            invalid_value
    ├── InvalidJson             invalid_json: no JSON, or no object
    ├── NestedTooDeeply         invalid_json: deeper than what can be written again
    ├── TooComplex              body_too_complex: more values than are parsed
    ├── InvalidForm             invalid_form: no `multipart/form-data`, or not as RFC 7578 says
    ├── UnknownField            unknown_field: a form's field that the endpoint does not have
    ├── UnsupportedValue        unsupported_value: not with this model, or its cost has no bound
    ├── UnsupportedParameter    unsupported_parameter: as above, a whole parameter
    ├── CountingUnavailable     token_counting_not_available: no upstream of the model counts itself
    └── StatelessOnly           stateless_only: it refers to what only a store would have

    MalformedAnswer             an upstream's whole answer is not a JSON object

The path of a field is the only thing taken from a body, and it is made of our own words and
indexes. No value of the client's ever enters an error: it could be part of a prompt.
"""

from __future__ import annotations

from typing import ClassVar


class InvalidRequest(Exception):
    """The body cannot be used; `param` is the path of the field, such as `messages[3]`, if any."""

    code: ClassVar[str] = "invalid_value"

    def __init__(self, param: str | None, message: str) -> None:
        super().__init__(message)
        self.param = param
        self.message = message


class MissingParameter(InvalidRequest):
    """A field that every request needs is absent."""

    code = "missing_required_parameter"

    def __init__(self, param: str) -> None:
        super().__init__(param, f"Missing required parameter: '{param}'.")


class InvalidType(InvalidRequest):
    """A field has another JSON type than the contract says."""

    code = "invalid_type"

    def __init__(self, param: str, expected: str) -> None:
        super().__init__(param, f"Invalid type for '{param}': expected {expected}.")


class EmptyArray(InvalidRequest):
    """A list that needs an element has none."""

    code = "empty_array"

    def __init__(self, param: str) -> None:
        super().__init__(param, f"Invalid '{param}': expected at least one element.")


class IntegerBelowMinimum(InvalidRequest):
    """A number is smaller than its minimum."""

    code = "integer_below_min_value"

    def __init__(self, param: str, minimum: int) -> None:
        super().__init__(param, f"Invalid '{param}': expected a value >= {minimum}.")


class IntegerAboveMaximum(InvalidRequest):
    """A number is larger than its maximum."""

    code = "integer_above_max_value"

    def __init__(self, param: str, maximum: int) -> None:
        super().__init__(param, f"Invalid '{param}': expected a value <= {maximum}.")


class InvalidValue(InvalidRequest):
    """A field has a value outside its list."""

    code = "invalid_value"

    def __init__(self, param: str) -> None:
        super().__init__(param, f"Invalid value for '{param}'.")


class InvalidJson(InvalidRequest):
    """The body is not JSON, or not an object."""

    code = "invalid_json"

    def __init__(self, message: str) -> None:
        super().__init__(None, message)


class TooComplex(InvalidRequest):
    """The body has more lists, objects and members than are parsed."""

    code = "body_too_complex"

    def __init__(self, maximum: int) -> None:
        super().__init__(
            None, f"The request body has more than {maximum} lists, objects and members."
        )


class InvalidForm(InvalidRequest):
    """The body is not a form that is read in one way only."""

    code = "invalid_form"

    def __init__(self, message: str) -> None:
        super().__init__(None, message)


class UnknownField(InvalidRequest):
    """A field of a form is not one of the endpoint's; its name is the client's, so not repeated."""

    code = "unknown_field"

    def __init__(self, number: int) -> None:
        super().__init__(None, f"Field {number} of the form is not one of this endpoint's.")


class NestedTooDeeply(InvalidRequest):
    """Objects and lists stand inside each other more deeply than the body can be sent on."""

    code = "invalid_json"

    def __init__(self) -> None:
        super().__init__(None, "The request body is nested too deeply.")


class UnsupportedValue(InvalidRequest):
    """The model does not take this, or the catalogue knows no most that it could cost."""

    code = "unsupported_value"

    def __init__(self, param: str) -> None:
        super().__init__(param, f"Unsupported value for '{param}' with this model.")


class UnsupportedParameter(InvalidRequest):
    """The model does not take this parameter, or the catalogue knows no most that it could cost."""

    code = "unsupported_parameter"

    def __init__(self, param: str) -> None:
        super().__init__(
            param, f"Unsupported parameter: '{param}' is not supported with this model."
        )


class CountingUnavailable(InvalidRequest):
    """No upstream of the model counts tokens before they are sent; an estimate would not be it."""

    code = "token_counting_not_available"

    def __init__(self) -> None:
        super().__init__("model", "No upstream of this model counts tokens.")


class StatelessOnly(InvalidRequest):
    """The field refers to something kept from another request, and nothing is kept."""

    code = "stateless_only"

    def __init__(self, param: str) -> None:
        super().__init__(
            param,
            f"'{param}' refers to what another request has stored, and nothing is stored here: "
            "send the whole conversation in the request.",
        )


class MalformedAnswer(Exception):
    """An upstream's answer is not a JSON object; nothing of it is kept."""
