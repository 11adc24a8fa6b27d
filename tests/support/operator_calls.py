"""What a test asks core as an operator: usage, balances, credit, the sums of the ledger."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

import grpc

from oneapi.accounts.v1 import workspace_service_pb2, workspace_service_pb2_grpc
from oneapi.billing.v1 import (
    credit_service_pb2,
    credit_service_pb2_grpc,
    ledger_pb2,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
)
from oneapi.common.v1.money_pb2 import Money
from oneapi.keys.v1 import api_key_pb2, key_service_pb2, key_service_pb2_grpc
from oneapi.metering.v1 import usage_service_pb2, usage_service_pb2_grpc
from tests.support.processes import PATIENCE_SECONDS

CALL_SECONDS_MAX = 30.0


class OperatorCalls(ABC):
    """Calls over a channel that carries the operator's token; the example workspace by default."""

    @property
    @abstractmethod
    def channel(self) -> grpc.Channel:
        """Return the channel."""

    @property
    @abstractmethod
    def workspace_id(self) -> str:
        """Return the example workspace."""

    def usage(self, request_id: str) -> usage_service_pb2.Usage:
        """Return the record of a request; it is there at most a moment after the answer."""
        stub = usage_service_pb2_grpc.UsageServiceStub(self.channel)
        request = usage_service_pb2.GetUsageRequest(request_id=request_id)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return stub.GetUsage(request, timeout=CALL_SECONDS_MAX).usage
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.NOT_FOUND or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    def latest_usage(self) -> usage_service_pb2.Usage:
        """Return the newest record of the example workspace."""
        stub = usage_service_pb2_grpc.UsageServiceStub(self.channel)
        asked = usage_service_pb2.ListUsageRequest(workspace_id=self.workspace_id, page_size=1)
        return stub.ListUsage(asked, timeout=CALL_SECONDS_MAX).usages[0]

    def balance(self, workspace_id: str = "") -> ledger_pb2.Balance:
        """Return what a workspace has: the example one unless named."""
        stub = credit_service_pb2_grpc.CreditServiceStub(self.channel)
        asked = credit_service_pb2.GetBalanceRequest(workspace_id=workspace_id or self.workspace_id)
        return stub.GetBalance(asked, timeout=CALL_SECONDS_MAX).balance

    def grant(self, nanos: int, workspace_id: str = "") -> None:
        """Give promotional credit."""
        stub = credit_service_pb2_grpc.CreditServiceStub(self.channel)
        asked = credit_service_pb2.GrantCreditRequest(
            request_id=f"test-{time.monotonic_ns()}",
            workspace_id=workspace_id or self.workspace_id,
            kind=ledger_pb2.CreditGrant.KIND_PROMOTIONAL,
            amount=Money(amount_nanos=nanos, currency_code="USD"),
        )
        stub.GrantCredit(asked, timeout=CALL_SECONDS_MAX)

    def empty_workspace(self) -> str:
        """Make a workspace without credit and return its id."""
        stub = workspace_service_pb2_grpc.WorkspaceServiceStub(self.channel)
        asked = workspace_service_pb2.CreateWorkspaceRequest(
            request_id=f"test-{time.monotonic_ns()}", display_name="Test"
        )
        return str(stub.CreateWorkspace(asked, timeout=CALL_SECONDS_MAX).workspace.workspace_id)

    def trial_balance(self) -> dict[str, int]:
        """Return the sums of all accounts in nano-dollars; `total` is the sum of all entries."""
        stub = ledger_service_pb2_grpc.LedgerServiceStub(self.channel)
        asked = ledger_service_pb2.GetTrialBalanceRequest()
        answer = stub.GetTrialBalance(asked, timeout=CALL_SECONDS_MAX)
        sums = {one.account: one.amount.amount_nanos for one in answer.sums}
        return {**sums, "total": answer.total.amount_nanos}

    def make_key(
        self, workspace_id: str = "", *permissions: api_key_pb2.Permission.ValueType
    ) -> tuple[str, str]:
        """Make an API key that may do these things; return its id and its secret."""
        stub = key_service_pb2_grpc.KeyServiceStub(self.channel)
        asked = key_service_pb2.CreateKeyRequest(
            request_id=f"test-{time.monotonic_ns()}",
            workspace_id=workspace_id or self.workspace_id,
            display_name="Test key",
            settings=api_key_pb2.KeySettings(permissions=permissions),
        )
        answer = stub.CreateKey(asked, timeout=CALL_SECONDS_MAX)
        return str(answer.key.key_id), str(answer.secret)
