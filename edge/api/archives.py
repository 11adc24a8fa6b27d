"""Archived months of the key's workspace: listed, described, and handed out file by file.

    GET /v1/archives                        newest first, `limit` and `after` for pages
    GET /v1/archives/{month}                files, sums, checksums, lines to paste
    GET /v1/archives/{month}/{name}         a file: from the store by a signed URL (302), else from
                                            us, from any byte on

Core says who asks, by a signed user context; the archiver decides, and has every hand-out and every
denial put on record. A page in a browser reads the answer if the workspace names its origin; where
the store hands a file out by itself, what the store says of origins counts as well.
"""

from __future__ import annotations

import base64
import re
from typing import Any, Final, NamedTuple

import grpc
import orjson
from starlette.requests import Request
from starlette.responses import Response

from edge import errors
from edge.admission.admit import Admission
from edge.api.archive_body import FileBody
from edge.api.archive_visits import ArchiveVisits
from edge.api.http import header, sent_of
from edge.api.own_answers import own_answer, own_refusal
from edge.api.own_workspace import grant_of
from edge.api.ranges import ByteRange, RangeNotSatisfiable, is_fresh, wanted_range
from edge.errors import ApiError, invalid
from kit.clock import Clock
from kit.ids import InvalidIdError, format_id, new_request_id, parse_id
from kit.money import format_dollars
from kit.reasons import DomainError, InvalidState, NotFound
from kit.rpc.status import domain_error_of
from kit.user_context import METADATA_KEY
from oneapi.archive.v1 import archive_service_pb2 as pb
from oneapi.archive.v1 import archive_service_pb2_grpc
from oneapi.security.v1 import access_service_pb2, access_service_pb2_grpc

CALL_SECONDS: Final = 10.0
AUDIENCE: Final = "archiver"
PAGE_MAX: Final = 100
_MONTH: Final = re.compile(r"^[1-9][0-9]{3}-(0[1-9]|1[0-2])$", re.ASCII)
_NAME: Final = re.compile(r"^[a-z][a-z0-9.-]{0,47}$", re.ASCII)
_LIMIT: Final = re.compile(r"^[0-9]{1,4}$", re.ASCII)
_BASE_URL: Final = "$ONEAPI_BASE_URL"
_OF_ANY_ANSWER: Final = frozenset(
    {
        *("x-request-id", "cache-control", "vary"),
        *("access-control-allow-origin", "access-control-expose-headers"),
    }
)
_NOT_FOUND: Final = "The archive has no such month or file of this workspace."


class Visitor(NamedTuple):
    """Whose archive is asked for, and what proves who asks."""

    workspace_id: str
    metadata: tuple[tuple[str, str], ...]
    key_id: bytes


class Archives:
    """Answers whoever has a key with the permission."""

    def __init__(
        self,
        core: grpc.aio.Channel,
        archiver: grpc.aio.Channel,
        admission: Admission,
        origin: str,
        clock: Clock,
    ) -> None:
        """Ask core who asks, and the archiver for the rest."""
        self._visits = ArchiveVisits(clock)
        self._access = access_service_pb2_grpc.AccessServiceStub(core)
        self._archive = archive_service_pb2_grpc.ArchiveServiceStub(archiver)
        self._admission = admission
        self._base_url = f"{origin}/v1"

    async def list(self, request: Request) -> Response:
        """Answer a page of months."""
        for_page: dict[str, str] = {}
        try:
            visitor = await self._visitor(request, for_page)
            wanted = pb.ListArchivesRequest(
                workspace_id=visitor.workspace_id,
                page_size=_limit(request.query_params.get("limit")),
                page_token=_after(request.query_params.get("after")),
            )
            answer = await self._ask(self._archive.ListArchives, wanted, visitor)
        except ApiError as error:
            return own_refusal(error, for_page)
        more = answer.next_page_token
        shown = {
            "object": "list",
            "data": [self._shown(archive) for archive in answer.archives],
            "has_more": bool(more),
            "after": more or None,
        }
        return own_answer(200, orjson.dumps(shown), for_page)

    async def month(self, request: Request) -> Response:
        """Answer one month."""
        for_page: dict[str, str] = {}
        try:
            visitor = await self._visitor(request, for_page)
            found = await self._month(request, visitor)
        except ApiError as error:
            return own_refusal(error, for_page)
        lines = {
            tool: text.replace(_BASE_URL, self._base_url)
            for tool, text in sorted(found.snippets.items())
        }
        shown = {**self._shown(found.archive), "snippets": lines}
        return own_answer(200, orjson.dumps(shown), for_page)

    async def file(self, request: Request) -> Response:
        """Answer a file, a part of it, or where it is."""
        for_page: dict[str, str] = {}
        try:
            visitor = await self._visitor(request, for_page)
            archive = (await self._month(request, visitor)).archive
            file = _file_of(archive, request.path_params["name"])
            headers = _headers_of(archive, file) | for_page
            return await self._handed_out(request, visitor, archive, file, headers)
        except ApiError as error:
            return own_refusal(error, for_page)

    async def _handed_out(
        self,
        request: Request,
        visitor: Visitor,
        archive: pb.Archive,
        file: pb.DownloadableFile,
        headers: dict[str, str],
    ) -> Response:
        sent = sent_of(request.scope["headers"])
        etag = headers.get("etag", "")
        if etag and is_fresh(header(sent, b"if-none-match"), etag):
            return Response(None, 304, headers)
        if request.method == "HEAD":
            return _head(file, headers)
        part = _part_of(sent, etag, file)
        where = (archive.workspace_id, archive.month, file.name)
        signing = pb.SignDownloadRequest(workspace_id=where[0], month=where[1], name=where[2])
        signed = await self._ask(self._archive.SignDownload, signing, visitor)
        if signed.url:
            return Response(None, 302, _redirecting(headers, signed.url))
        wanted = pb.DownloadRequest(workspace_id=where[0], month=where[1], name=where[2])
        if part is not None:
            wanted.offset, wanted.length = part.offset, part.length
            headers["content-range"] = part.content_range(file.size_bytes)
        if etag:
            length = file.size_bytes if part is None else part.length
            headers["content-length"] = str(length)
        ended = self._visits.download(visitor.key_id)
        try:
            body = await self._begun(wanted, visitor)
        except BaseException:
            ended()
            raise
        return FileBody(body, 200 if part is None else 206, headers, ended)

    async def _begun(self, wanted: pb.DownloadRequest, visitor: Visitor) -> Any:
        """Return a download that has begun: what may refuse it has let it pass."""
        call = self._archive.Download(wanted, metadata=visitor.metadata)
        try:
            await call.read()
        except grpc.RpcError as error:
            raise _error_of(domain_error_of(error)) from None
        return call

    async def _visitor(self, request: Request, for_page: dict[str, str]) -> Visitor:
        """Find out who asks: a key that works, and what core says that it may do."""
        grant = await grant_of(request, self._admission, for_page)
        self._visits.count(grant.key_id)
        asked = access_service_pb2.IssueUserContextRequest(
            secret_hashes=list(grant.secrets), audience=AUDIENCE
        )
        try:
            issued = await self._access.IssueUserContext(asked, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            found = domain_error_of(error)
            if isinstance(found, NotFound | InvalidState):
                raise errors.unknown_key() from None
            raise errors.from_domain(found) from None
        return Visitor(
            _workspace(request.query_params.get("workspace_id"), grant.workspace_id),
            ((METADATA_KEY, issued.user_context),),
            grant.key_id,
        )

    async def _month(self, request: Request, visitor: Visitor) -> pb.GetArchiveResponse:
        month = request.path_params["month"]
        if _MONTH.fullmatch(month) is None:
            raise _not_found()
        wanted = pb.GetArchiveRequest(workspace_id=visitor.workspace_id, month=month)
        found: pb.GetArchiveResponse = await self._ask(self._archive.GetArchive, wanted, visitor)
        return found

    async def _ask(self, method: Any, wanted: Any, visitor: Visitor) -> Any:
        try:
            return await method(wanted, timeout=CALL_SECONDS, metadata=visitor.metadata)
        except grpc.RpcError as error:
            raise _error_of(domain_error_of(error)) from None

    def _shown(self, archive: pb.Archive) -> dict[str, Any]:
        place = f"{self._base_url}/archives/{archive.month}"
        return {
            "object": "archive",
            "workspace_id": archive.workspace_id,
            "month": archive.month,
            "revision": archive.revision,
            "records": archive.records,
            "charges": format_dollars(archive.charges.amount_nanos),
            "currency": "usd",
            "published_at": archive.published_at.ToJsonString(),
            "expires_at": archive.expires_at.ToJsonString(),
            "files": [
                {
                    "name": file.name,
                    "media_type": file.media_type,
                    "size_bytes": file.size_bytes if file.sha256 else None,
                    "rows": file.rows,
                    "sha256": file.sha256.hex() or None,
                    "url": f"{place}/{file.name}",
                }
                for file in archive.files
            ],
        }


def _file_of(archive: pb.Archive, name: str) -> pb.DownloadableFile:
    if _NAME.fullmatch(name) is not None:
        for file in archive.files:
            if file.name == name:
                return file
    raise _not_found()


def _head(file: pb.DownloadableFile, headers: dict[str, str]) -> Response:
    """Say what a file is; how long text is that is made on demand, nobody knows before."""
    answer = Response(None, 200, headers)
    del answer.headers["content-length"]
    if file.sha256:
        answer.headers["content-length"] = str(file.size_bytes)
    return answer


def _headers_of(archive: pb.Archive, file: pb.DownloadableFile) -> dict[str, str]:
    stem, _, end = file.name.partition(".")
    headers = _plain_headers() | {
        "content-type": file.media_type,
        "content-disposition": f'attachment; filename="{stem}-{archive.month}.{end}"',
    }
    if file.sha256:
        digest = base64.b64encode(file.sha256).decode()
        headers |= {
            "accept-ranges": "bytes",
            "etag": f'"{file.sha256.hex()}"',
            "repr-digest": f"sha-256=:{digest}:",
        }
    return headers


def _part_of(sent: Any, etag: str, file: pb.DownloadableFile) -> ByteRange | None:
    if not etag:
        return None
    try:
        return wanted_range(
            header(sent, b"range"), header(sent, b"if-range"), etag, file.size_bytes
        )
    except RangeNotSatisfiable:
        raise ApiError(
            416,
            "range_not_satisfiable",
            "The range begins behind the end of the file.",
            headers={b"content-range": b"bytes */%d" % file.size_bytes},
        ) from None


def _limit(text: str | None) -> int:
    if text is None:
        return 0
    if _LIMIT.fullmatch(text) is None or not 1 <= int(text) <= PAGE_MAX:
        raise invalid("invalid_limit", f"`limit` is a number from 1 to {PAGE_MAX}.", "limit")
    return int(text)


def _after(text: str | None) -> str:
    if text is None:
        return ""
    if _MONTH.fullmatch(text) is None:
        raise invalid("invalid_month", "`after` is a month such as 2026-08.", "after")
    return text


def _workspace(text: str | None, own: bytes) -> str:
    """Return the workspace that is asked about; whether the key may is not decided here."""
    try:
        return format_id("ws", own if text is None else parse_id("ws", text))
    except InvalidIdError:
        raise invalid(
            "invalid_workspace_id", "`workspace_id` is ws_ and 32 hex digits.", "workspace_id"
        ) from None


def _error_of(error: DomainError) -> ApiError:
    return _not_found() if isinstance(error, NotFound) else errors.from_domain(error)


def _not_found() -> ApiError:
    return ApiError(404, "archive_not_found", _NOT_FOUND)


def _plain_headers() -> dict[str, str]:
    return {"x-request-id": format_id("req", new_request_id()), "cache-control": "no-store"}


def _redirecting(headers: dict[str, str], url: str) -> dict[str, str]:
    """Return what a redirect says: nothing of the file, which the store tells itself."""
    kept = {name: value for name, value in headers.items() if name in _OF_ANY_ANSWER}
    return kept | {"location": url}
