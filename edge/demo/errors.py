"""The refusals of the demo provider, before a protocol gives them a shape.

DemoError
├── BadRequestError       400, the request is malformed or asks for something unsupported
├── ModelNotFoundError    404, the model name is not `demo` with known knobs
└── OrderedError          400-599, the model name asked for an error
"""

from __future__ import annotations


class DemoError(Exception):
    """An answer with an error status; no text of the request is kept in it."""

    def __init__(self, status: int, code: str | None = None, param: str | None = None) -> None:
        """Hold the HTTP status, a machine code, and the name of the field at fault."""
        super().__init__(status, code, param)
        self.status = status
        self.code = code
        self.param = param


class BadRequestError(DemoError):
    """A field of the request has a value that the demo cannot use."""

    def __init__(self, code: str, param: str | None = None) -> None:
        """Name the field by its path, such as `messages[2].content`."""
        super().__init__(400, code, param)


class ModelNotFoundError(DemoError):
    """The model is not offered here."""

    def __init__(self) -> None:
        """Use the code that OpenAI clients know."""
        super().__init__(404, "model_not_found", "model")


class OrderedError(DemoError):
    """The client ordered this failure by the knob `error-<status>`."""
