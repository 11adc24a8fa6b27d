"""The pages that a customer's browser sees: Checkout, and the bank's confirmation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from tools.stripe_sim import cards, checkout, forms, payment_methods
from tools.stripe_sim.errors import CardDeclined, InvalidRequest, Json, StripeFault
from tools.stripe_sim.script import authenticate
from tools.stripe_sim.world import World

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}
COUNTRIES: Final = ("US", "AT", "CH", "DE", "ES", "FR", "GB", "IE", "IT", "JP", "NL", "PL")
FORM_BYTES_MAX: Final = 8_192
_SYMBOLS: Final = {"usd": "$", "eur": "€", "gbp": "£"}


class Pages:
    """The views; the templates lie in `pages/`."""

    def __init__(self, world: World) -> None:
        """Take the account that the pages act upon."""
        self._world = world
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "pages"),
            autoescape=True,
            undefined=StrictUndefined,
        )

    def routes(self) -> list[Route]:
        """Return the routes of the pages."""
        return [
            Route("/favicon.ico", _no_icon, methods=["GET"]),
            Route("/c/pay/{id}", self._checkout, methods=["GET"]),
            Route("/c/pay/{id}", self._pay, methods=["POST"]),
            Route("/c/authenticate/{id}", self._bank, methods=["GET"]),
            Route("/c/authenticate/{id}", self._answer_bank, methods=["POST"]),
        ]

    async def _checkout(self, request: Request) -> Response:
        session = self._world.tables[checkout.KIND].get(request.path_params["id"])
        if session is None:
            return self._notice("There is no such payment page.", 404)
        if session["status"] == "expired":
            return self._notice("This payment page has expired.", 410)
        if session["status"] == "complete":
            return self._notice("This payment is complete.", 200)
        return self._form(session)

    def _form(self, session: Json, error: str | None = None, status: int = 200) -> Response:
        return self._page(
            "checkout.html",
            status,
            session=session,
            lines=[
                {**one, "price_text": money(one["amount_subtotal"], one["currency"])}
                for one in session["_line_items"]
            ],
            tax=money(session["total_details"]["amount_tax"], session["currency"]),
            total=money(session["amount_total"], session["currency"]),
            keeps_card=bool(session["_intent"].get("setup_future_usage")),
            error=error,
            countries=COUNTRIES if checkout.asks_for_country(session) else (),
            test_cards=[(one.number, one.token) for one in cards.CARDS if one.token],
        )

    async def _pay(self, request: Request) -> Response:
        world = self._world
        session = world.tables[checkout.KIND].get(request.path_params["id"])
        if session is None:
            return self._notice("There is no such payment page.", 404)
        try:
            typed = await _typed(request)
            month, year = _expiry(typed.get("expiry", ""))
            card = payment_methods.checked_card(
                world, typed.get("card", ""), month, year, typed.get("cvc", "")
            )
            method = payment_methods.add(world, card, month, year)
            country = typed.get("country", "US")
            checkout.locate(world, session, method, country if country in COUNTRIES else "US")
            checkout.pay(world, session, method)
        except CardDeclined as fault:
            return self._form(session, fault.message, 402)
        except StripeFault:
            return RedirectResponse(f"/c/pay/{session['id']}", 303)
        if session["status"] == "open":
            return RedirectResponse(f"/c/authenticate/{session['payment_intent']}", 303)
        return RedirectResponse(checkout.return_url(session), 303)

    async def _bank(self, request: Request) -> Response:
        intent = self._world.find(request.path_params["id"])
        if intent is None or intent.get("status") != "requires_action":
            return self._notice("The bank asks for nothing.", 404)
        amount = money(intent["amount"], intent["currency"]) if "amount" in intent else None
        return self._page("authenticate.html", 200, intent=intent, amount=amount)

    async def _answer_bank(self, request: Request) -> Response:
        world = self._world
        name = request.path_params["id"]
        intent = world.find(name)
        if intent is None or intent.get("status") != "requires_action":
            return self._notice("The bank asks for nothing.", 404)
        back = (intent["next_action"].get("redirect_to_url") or {}).get("return_url")
        session = checkout.of_intent(world, name)
        try:
            succeeds = (await _typed(request)).get("answer") == "complete"
            authenticate(world, name, succeeds=succeeds)
        except CardDeclined as fault:
            if session is not None:
                return self._form(session, fault.message, 402)
        except StripeFault:
            return self._notice("The bank asks for nothing.", 404)
        if session is not None:
            back = checkout.return_url(session)
        return RedirectResponse(back, 303) if back else self._notice("You may close this.", 200)

    def _notice(self, sentence: str, status: int) -> Response:
        return self._page("notice.html", status, sentence=sentence)

    def _page(self, name: str, status: int, **values: Any) -> Response:
        text = self._templates.get_template(name).render(**values)
        return HTMLResponse(text, status, _HEADERS)


async def _typed(request: Request) -> dict[str, str]:
    """Return the fields of a submitted form.

    Raises:
        InvalidRequest: it is too large or none.
    """
    raw = await request.body()
    if len(raw) > FORM_BYTES_MAX:
        raise InvalidRequest("The form is too large")
    try:
        form = forms.decode(raw)
    except forms.FormIsBadError as fault:
        raise InvalidRequest(fault.sentence) from None
    return {key: value for key, value in form.items() if isinstance(value, str)}


def _expiry(text: str) -> tuple[int, int]:
    """Return month and year of `12 / 34`; zeros, which no card has, where it is none."""
    month, _, year = (part.strip() for part in text.partition("/"))
    if not all(part.isascii() and part.isdigit() and len(part) <= 4 for part in (month, year)):
        return 0, 0
    return int(month), int(year) + (2_000 if len(year) == 2 else 0)


def money(amount: int, currency: str) -> str:
    """Return an amount as people write it."""
    if currency == "jpy":
        return f"¥{amount:,}"
    symbol = _SYMBOLS.get(currency, f"{currency.upper()} ")
    return f"{symbol}{amount // 100:,}.{amount % 100:02d}"


async def _no_icon(_: Request) -> Response:
    """Answer a browser that asks for one all the same."""
    return Response(status_code=204)
