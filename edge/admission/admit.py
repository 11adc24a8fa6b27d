"""Step three of a request's life: key, model, lane, price, limits and the hold.

    secret -> keyed hash -> grant -> model and lane -> price -> limits -> hold inside a lease

No call to core on the common path. Every refusal is an error of ours before anything is written or
sent: it leaves no record and costs nothing.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from edge import errors
from edge.admission.catalog import LANE_NAMES, SERVICE_TIERS, Catalog, Model, Route
from edge.admission.credit import Hold, NothingHeld, WorkspaceCredit
from edge.admission.free_models import PER_MINUTE, FreeModels
from edge.admission.grants import Grant, State
from edge.admission.limits import LimitState, SpendNeed
from edge.admission.look_ups import TooManyLookUps
from edge.admission.secret_hashes import SecretHashes
from edge.admission.spend import day_of
from edge.core_link import CoreLink
from edge.errors import ApiError
from kit.charge import Price
from kit.clock import Clock, now_micros
from kit.hold import SMALL_WALLET_SHARE, HoldBound, RequestShape
from kit.money import NANOS_PER_DOLLAR, InvalidAmountError, parse_dollars
from kit.reasons import CreditInUse, DomainError, InsufficientCredits
from kit.secret import is_well_formed
from oneapi.common.v1 import lane_pb2

MAX_COST_NANOS: Final = 1_000_000 * NANOS_PER_DOLLAR
"""The highest `x-max-cost`: far above any request, far below what overflows."""
_ACTIVE: Final = int(State.STATE_ACTIVE)
_STATE_ERRORS: Final[dict[int, tuple[int, str, str]]] = {
    State.STATE_KEY_DISABLED: (403, "api_key_disabled", "This API key is disabled."),
    State.STATE_KEY_REVOKED: (401, "api_key_revoked", "This API key was revoked."),
    State.STATE_KEY_EXPIRED: (401, "api_key_expired", "This API key has expired."),
    State.STATE_WORKSPACE_NOT_ACTIVE: (
        403,
        "workspace_not_active",
        "The workspace of this API key is suspended or closed.",
    ),
}


# What is made for each request is not frozen: that would double the time of making it.
@dataclass(slots=True)
class Choice:
    """The model, lane, price and route of a request."""

    model: Model
    requested_lane: int
    lane: int
    price: Price
    route: Route


@dataclass(slots=True)
class OutputLimit:
    """The output limit of one choice: what is held for, and what must be sent upstream, if any."""

    tokens: int
    applied: int | None


@dataclass(slots=True)
class Admitted:
    """A request that may go on: its credit is set aside."""

    grant: Grant
    choice: Choice
    limit: OutputLimit
    hold: Hold | NothingHeld
    limits: LimitState | None
    limit_tokens: int


@dataclass(slots=True)
class Asked:
    """What a request asks credit for."""

    grant: Grant
    choice: Choice
    shape: RequestShape
    bound: HoldBound
    request_id: bytes
    client_limit: int | None
    ceiling: int | None
    is_free: bool
    """Whether nothing that the model may do costs anything: then no credit is needed."""


class Admission:
    """Decides whether a request may be served, and on what terms."""

    def __init__(
        self,
        link: CoreLink,
        peppers: list[bytes],
        clock: Clock,
        *,
        free_per_minute: int = PER_MINUTE,
    ) -> None:
        """Know keys by their hashes under the peppers, newest first."""
        self._free = FreeModels(clock, free_per_minute)
        self._link = link
        self._hashes = SecretHashes(peppers)
        self._clock = clock

    async def authenticate(self, secret: str, peer: str | None) -> Grant:
        """Return the grant of a secret.

        Raises:
            ApiError: 401, 403, or 503 where core is needed and away.
        """
        hashes = self._hashes.remembered(secret)
        if hashes is None and not is_well_formed(secret):
            raise errors.unknown_key()
        if not self._link.usable:
            raise errors.unavailable("not_in_touch", "This server has lost touch with its core.")
        is_new = hashes is None
        hashes = hashes or self._hashes.of(secret)
        try:
            grants = self._link.grants
            grant = grants.known(hashes[0]) or await grants.find(hashes, peer or "")
        except TooManyLookUps:
            raise errors.unavailable(
                "key_check_busy", "Too many new API keys are being checked now.", retry_seconds=1
            ) from None
        except DomainError as error:
            raise errors.from_domain(error) from None
        if grant is None:
            raise errors.unknown_key()
        if is_new:
            self._hashes.remember(secret, hashes)
        self._check_state(grant)
        self._check_network(grant, peer)
        return grant

    def stands(self, grant: Grant, catalog: Catalog) -> bool:
        """Say whether a request may go on with the key and the catalogue it was decided on.

        Its body, its limits and its credit may have taken seconds. No await may come between this
        and the INTENT.
        """
        link = self._link
        return link.catalog is catalog and link.grants.is_current(grant) and link.usable

    def _check_state(self, grant: Grant) -> None:
        state = grant.state
        if grant.expires_at_micros and grant.expires_at_micros <= now_micros(self._clock):
            state = State.STATE_KEY_EXPIRED
        if state == _ACTIVE:
            return
        status, code, message = _STATE_ERRORS.get(
            state, (401, "invalid_api_key", "This API key cannot be used.")
        )
        raise ApiError(status, code, message, errors.INVALID)

    def _check_network(self, grant: Grant, peer: str | None) -> None:
        if not grant.networks:
            return
        try:
            address = ipaddress.ip_address(peer or "")
        except ValueError:
            address = None
        if address is None or not any(address in network for network in grant.networks):
            raise ApiError(
                403, "address_not_allowed", "This API key may not be used from this address."
            )

    def choose(
        self, grant: Grant, name: str | None, lane_header: str | None, service_tier: object
    ) -> Choice:
        """Return model, lane, price and route of a request.

        Raises:
            ApiError: an unknown or forbidden model, an unknown lane, no price, no route, none of
                whose upstreams keeps nothing where the key or its workspace requires it.
        """
        catalog = self._link.catalog
        model, suffix = self._model(grant, name)
        requested = _lane(lane_header, suffix, service_tier)
        lane = requested or grant.lane or lane_pb2.LANE_DEFAULT
        if grant.allowed_models and grant.allowed_models.isdisjoint(model.names):
            raise ApiError(
                403, "model_not_allowed", "This API key may not use this model.", param="model"
            )
        price = catalog.price(model, lane, now_micros(self._clock))
        if price is None:
            raise errors.invalid(
                "model_not_priced", "This model has no price in this lane.", "model"
            )
        route = catalog.route(model, lane)
        if route is None:
            raise errors.unavailable(
                "no_upstream", "No upstream serves this model in this lane now."
            )
        if grant.requires_zero_retention:
            # Fails closed: whatever is not known to keep nothing is not in this route at all.
            route = catalog.zero_retention_route(model, lane)
            if route is None:
                raise errors.no_zero_retention_upstream()
        return Choice(model, requested, lane, price, route)

    def _model(self, grant: Grant, name: str | None) -> tuple[Model, str | None]:
        catalog = self._link.catalog
        if name is None:
            model = catalog.named(grant.default_model)
            if model is None:
                raise errors.invalid("missing_required_parameter", "Name a model.", "model")
            return model, None
        model = self._named(grant, name)
        if model is not None:
            return model, None
        text, _, suffix = name.rpartition(":")
        model = self._named(grant, text) if suffix in LANE_NAMES else None
        if model is not None:
            return model, suffix
        raise ApiError(
            404,
            "model_not_found",
            "The model does not exist or you do not have access to it.",
            param="model",
        )

    def _named(self, grant: Grant, name: str) -> Model | None:
        return self._link.catalog.named(grant.aliases.get(name, name))

    async def admit(
        self,
        grant: Grant,
        choice: Choice,
        shape: RequestShape,
        *,
        request_id: bytes,
        client_limit: int | None,
        max_cost: str | None,
    ) -> Admitted:
        """Set credit aside for a request and count it against its key's limits.

        Raises:
            ApiError: 400 (cost ceiling), 402, 429, 503.
        """
        account = self._link.credit.of(grant.workspace_id)
        ceiling = None if max_cost is None else _ceiling(max_cost)
        bound = HoldBound(shape, choice.price, choice.model.reasoning_beyond_limit_tokens)
        is_free = bound.nanos(choice.model.max_output_tokens) == 0
        asked = Asked(grant, choice, shape, bound, request_id, client_limit, ceiling, is_free)
        try:
            if client_limit is None and account.lease is None and not asked.is_free:
                # Our own limit is chosen from the balance.
                await account.learn()
            try:
                return await self._admit(asked, account)
            except (InsufficientCredits, CreditInUse):
                if client_limit is not None or ceiling is not None:
                    raise
            # The limit was ours, chosen after a balance that may have changed: ask, choose again.
            (await account.take(bound.nanos(1))).settle(0)
            return await self._admit(asked, account)
        except InsufficientCredits:
            tokens = client_limit or 1
            needed = ceiling or bound.nanos(min(tokens, choice.model.max_output_tokens))
            raise _no_credit(bound, account.available, needed) from None
        except DomainError as error:
            raise errors.from_domain(error) from None

    async def admit_free(self, grant: Grant, choice: Choice, request_id: bytes) -> Admitted:
        """Count a request that costs nothing against its key's limits; no credit is needed.

        Raises:
            ApiError: 429, 503.
        """
        limits = None
        if grant.has_limits:
            try:
                limits = await self._link.limits.admit(grant, 0, SpendNeed(day_of(request_id), 0))
            except DomainError as error:
                raise errors.from_domain(error) from None
        try:
            hold = self._hold_nothing(grant)
        except ApiError:
            self._give_back(grant, limits, 0, 0, unserved=1)
            raise
        return Admitted(grant, choice, OutputLimit(0, None), hold, limits, 0)

    async def _admit(self, asked: Asked, account: WorkspaceCredit) -> Admitted:
        grant, shape = asked.grant, asked.shape
        limit = _output_limit(asked, account)
        nanos = _worst_case(asked, limit)
        limits, tokens = None, 0
        if grant.has_limits:
            if grant.tokens_per_minute:
                tokens = shape.text_bytes // 4 + shape.choices * limit.tokens
            need = SpendNeed(day_of(asked.request_id), nanos)
            limits = await self._link.limits.admit(grant, tokens, need)
        try:
            hold = await self._hold(asked, account, nanos)
        except BaseException:
            self._give_back(grant, limits, tokens, nanos, unserved=1)
            raise
        return Admitted(grant, asked.choice, limit, hold, limits, tokens)

    async def _hold(self, asked: Asked, account: WorkspaceCredit, nanos: int) -> Hold | NothingHeld:
        if not asked.is_free:
            return account.try_take(nanos) or await account.take(nanos)
        return self._hold_nothing(asked.grant)

    def _hold_nothing(self, grant: Grant) -> NothingHeld:
        if wait_ms := self._free.count(grant.workspace_id):
            raise errors.free_models_limited(wait_ms)
        return NothingHeld()

    def _give_back(
        self,
        grant: Grant,
        limits: LimitState | None,
        tokens: int,
        unspent_nanos: int,
        *,
        unserved: int = 0,
    ) -> None:
        if limits is not None:
            self._link.limits.done(
                grant,
                limits,
                unused_tokens=tokens,
                unspent_nanos=unspent_nanos,
                unserved=unserved,
            )

    def withdraw(self, admitted: Admitted) -> None:
        """Give back all that was set aside and counted for a request that is refused after all."""
        admitted.hold.settle(0)
        if isinstance(admitted.hold, NothingHeld):
            self._free.give_back(admitted.grant.workspace_id)
        nanos = admitted.hold.nanos
        self._give_back(admitted.grant, admitted.limits, admitted.limit_tokens, nanos, unserved=1)

    def settle(self, admitted: Admitted, charge_nanos: int, used_tokens: int) -> None:
        """Turn the hold into the charge and give back what was not used."""
        admitted.hold.settle(charge_nanos)
        self._give_back(
            admitted.grant,
            admitted.limits,
            admitted.limit_tokens - used_tokens,
            admitted.hold.nanos - charge_nanos,
        )


def _lane(header: str | None, suffix: str | None, service_tier: object) -> int:
    for text in (header, suffix):
        if text is not None:
            lane = LANE_NAMES.get(text)
            if lane is None:
                raise errors.invalid("unknown_lane", "There is no such delivery lane.", "lane")
            return lane
    if isinstance(service_tier, str):
        return SERVICE_TIERS.get(service_tier, lane_pb2.LANE_UNSPECIFIED)
    return lane_pb2.LANE_UNSPECIFIED


def _ceiling(max_cost: str) -> int:
    try:
        nanos = int(parse_dollars(max_cost.strip()))
    except InvalidAmountError:
        nanos = 0
    if not 0 < nanos <= MAX_COST_NANOS:
        raise errors.invalid(
            "invalid_max_cost", "x-max-cost is an amount of US dollars, such as 0.05.", "x-max-cost"
        )
    return nanos


def _worst_case(asked: Asked, limit: OutputLimit) -> int:
    """Return what is set aside: a ceiling on what costs nothing sets nothing aside."""
    if asked.is_free:
        return 0
    return asked.bound.nanos(limit.tokens) if asked.ceiling is None else asked.ceiling


def _output_limit(asked: Asked, account: WorkspaceCredit) -> OutputLimit:
    ceiling, cap = asked.ceiling, asked.choice.model.max_output_tokens
    fits = cap
    if ceiling is not None:
        fits = asked.bound.affordable_output_tokens(ceiling)
        if fits < 1:
            raise errors.invalid(
                "max_cost_too_low", "The request alone may cost more than x-max-cost.", "x-max-cost"
            )
    if asked.client_limit is not None:
        wanted = min(asked.client_limit, cap)
        # More than the model makes is not held for, so it is not asked for either.
        applied = cap if asked.client_limit > cap else None
    else:
        available = account.available
        if ceiling is not None:
            available = min(available, ceiling * SMALL_WALLET_SHARE)
        wanted = asked.bound.default_output_tokens(available, cap)
        if wanted == 0:
            raise InsufficientCredits
        # A limit equal to the model's own is not sent: some providers refuse it with any prompt.
        applied = wanted if wanted < cap else None
    return OutputLimit(min(wanted, fits), fits if fits < wanted else applied)


def _no_credit(bound: HoldBound, available: int, needed: int) -> ApiError:
    tokens = bound.affordable_output_tokens(max(0, available))
    return errors.insufficient_credits(available, needed, _could_pay(tokens))


def _could_pay(tokens: int) -> str:
    if tokens < 1:
        return "Add credits."
    return f"They would pay for at most {tokens} output tokens: lower max_tokens or add credits."
