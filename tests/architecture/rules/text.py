"""No way for free text into logs or messages (P1): an exception's text may quote a prompt.

Looks at the syntax tree: what a name is called decides, so loggers are called log or logger.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.rules.tree import Finding

LOGGERS = frozenset({"log", "logger", "logging", "_log", "_logger"})
LOG_METHODS = frozenset(
    {"debug", "info", "warning", "warn", "error", "critical", "exception", "log", "event", "fault"}
)
# These render an exception's text.
RENDERERS = frozenset({"str", "repr", "format", "ascii"})
# These render a message with all its values.
MESSAGE_TEXTS = frozenset({"MessageToString", "MessageToJson", "MessageToDict", "MessageToBytes"})
TRACEBACKS = frozenset(
    {
        "format_exc",
        "print_exc",
        "format_exception",
        "format_exception_only",
        "print_exception",
        "TracebackException",
        "from_exception",
    }
)


def leaks(text: str) -> list[Finding]:
    """Every print, rendered exception, exc_info and composed log text in a module."""
    tree = ast.parse(text)
    found = [*calls(tree), *rendered_exceptions(tree)]
    return sorted(set(found), key=lambda finding: finding.line)


def calls(tree: ast.AST) -> Iterator[Finding]:
    """Calls that write text, whatever the text is."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = last_name(node.func)
        if isinstance(node.func, ast.Name) and name == "print":
            yield Finding(node.lineno, "print writes what nobody allow-listed")
        if any(keyword.arg in {"exc_info", "stack_info"} for keyword in node.keywords):
            yield Finding(node.lineno, "exc_info writes the exception's text")
        if name in TRACEBACKS:
            yield Finding(node.lineno, f"{name} renders the exception's text")
        if name in MESSAGE_TEXTS:
            yield Finding(node.lineno, f"{name} renders every value of a message")
        if is_log_call(node):
            yield from composed(node)


def is_log_call(node: ast.Call) -> bool:
    """Whether the receiver is called like a logger."""
    return (
        isinstance(node.func, ast.Attribute)
        and node.func.attr in LOG_METHODS
        and last_name(node.func.value) in LOGGERS
    )


def composed(node: ast.Call) -> Iterator[Finding]:
    """Log arguments put together from pieces, and the method that logs the exception's text."""
    if last_name(node.func) == "exception":
        yield Finding(node.lineno, "logger.exception writes the exception's text")
    for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
        if is_composed(argument):
            yield Finding(argument.lineno, "a log line has a fixed name and fields, no text")


def is_composed(argument: ast.expr) -> bool:
    """An f-string, a % or + of strings, or str.format."""
    if isinstance(argument, ast.JoinedStr):
        return True
    if isinstance(argument, ast.BinOp):
        return any(is_text(side) for side in (argument.left, argument.right))
    return (
        isinstance(argument, ast.Call)
        and isinstance(argument.func, ast.Attribute)
        and argument.func.attr in {"format", "join"}
        and is_text(argument.func.value)
    )


def is_text(node: ast.expr) -> bool:
    """A string literal or an f-string."""
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def rendered_exceptions(tree: ast.AST) -> Iterator[Finding]:
    """Uses of a caught exception that turn it into text; a position in a slice is none."""
    positions = {
        part for node in ast.walk(tree) if isinstance(node, ast.Slice) for part in ast.walk(node)
    }
    for handler in ast.walk(tree):
        if isinstance(handler, ast.ExceptHandler) and handler.name:
            for statement in handler.body:
                for node in ast.walk(statement):
                    if node not in positions and renders(node, handler.name):
                        line = getattr(node, "lineno", handler.lineno)
                        yield Finding(line, "an exception's text may quote content")


def renders(node: ast.AST, name: str) -> bool:
    """Whether this node makes text of the exception bound to `name`."""
    if isinstance(node, ast.FormattedValue):
        return is_name(node.value, name)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in RENDERERS and any(is_name(part, name) for part in node.args)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and is_text(node.left):
        return any(is_name(part, name) for part in ast.walk(node.right))
    return isinstance(node, ast.Attribute) and node.attr == "args" and is_name(node.value, name)


def is_name(node: ast.AST, name: str) -> bool:
    """Whether this is that very variable."""
    return isinstance(node, ast.Name) and node.id == name


def last_name(node: ast.expr) -> str:
    """`log` of `self.log`, `exception` of `logging.exception`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
