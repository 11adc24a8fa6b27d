"""Between statements and their messages, nothing else."""

from __future__ import annotations

from core.billing.statements.model import DayUsage, Line, SectionSum, Standing, Statement
from core.ledger.messages import money_message
from core.timestamps import to_timestamp
from kit.ids import format_id
from oneapi.billing.v1 import statement_service_pb2 as pb

SectionValue = pb.Statement.Section.ValueType


def statement_message(statement: Statement) -> pb.Statement:
    """Render a statement."""
    return pb.Statement(
        workspace_id=format_id("ws", statement.workspace_id),
        month=f"{statement.month:%Y-%m}",
        opening=_standing_message(statement.opening),
        closing=_standing_message(statement.closing),
        sums=map(_sum_message, statement.sums),
        lines=map(_line_message, statement.lines),
        omitted_lines=statement.omitted_lines,
        usage=map(_usage_message, statement.usage),
        adds_up=statement.adds_up,
    )


def _standing_message(standing: Standing) -> pb.StatementBalance:
    return pb.StatementBalance(
        total=money_message(standing.total),
        debt=money_message(standing.debt),
        sequence=standing.sequence,
        hash=standing.head_hash,
    )


def _sum_message(each: SectionSum) -> pb.StatementSum:
    return pb.StatementSum(
        section=SectionValue(each.section), amount=money_message(each.amount), count=each.count
    )


def _line_message(line: Line) -> pb.StatementLine:
    return pb.StatementLine(
        posted_at=to_timestamp(line.posted_at),
        section=SectionValue(line.section),
        kind=line.kind,
        transaction_id=format_id("txn", line.txn_id),
        amount=money_message(line.amount),
        document_number=line.document,
    )


def _usage_message(usage: DayUsage) -> pb.StatementUsage:
    return pb.StatementUsage(
        day=usage.day.isoformat(),
        model=usage.model,
        requests=usage.requests,
        charge=money_message(usage.charge),
    )
