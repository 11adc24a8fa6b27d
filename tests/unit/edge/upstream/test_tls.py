"""TLS to an upstream: names and chains are verified, and the relay works the same."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge.upstream import errors
from edge.upstream.client import UpstreamClient
from edge.upstream.tls import default_tls_context
from tests.unit.edge.upstream.servers import (
    CHUNKED_HEAD,
    SHORT_ANSWER,
    chunk,
    closing,
    says,
    says_and_closes,
    upstream,
)


def _certificate(folder: Path, *names: x509.GeneralName) -> tuple[Path, Path]:
    """Write a certificate that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return chain, private


@pytest.fixture
def chain_and_server(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A self-made authority for 127.0.0.1, and a server context that uses it."""
    address = x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))
    chain, private = _certificate(tmp_path, address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)
    return chain, context


def _trusting(chain: Path) -> ssl.SSLContext:
    context = default_tls_context()
    context.load_verify_locations(cafile=chain)
    return context


async def test_a_stream_over_tls_arrives_and_the_connection_is_reused(
    chain_and_server: tuple[Path, ssl.SSLContext],
) -> None:
    """Keep-alive saves the handshake, which costs most with TLS."""
    chain, server_tls = chain_and_server
    big = b"x" * 300_000
    wire = [CHUNKED_HEAD, chunk(b"one "), chunk(big), b"0\r\n\r\n"]
    async with (
        upstream(says(*wire), tls=server_tls) as server,
        closing(UpstreamClient(tls=_trusting(chain))) as client,
    ):
        for _ in range(3):
            response = await client.send(server.request())
            assert await response.read(1_000_000) == b"one " + big
        assert server.connections == 1
        assert client.stats().idle == 1


async def test_a_cut_is_seen_through_tls(
    chain_and_server: tuple[Path, ssl.SSLContext],
) -> None:
    """An attacker who truncates the stream must not make it look whole."""
    chain, server_tls = chain_and_server
    async with (
        upstream(says_and_closes(CHUNKED_HEAD, chunk(b"part")), tls=server_tls) as server,
        closing(UpstreamClient(tls=_trusting(chain))) as client,
    ):
        response = await client.send(server.request())
        with pytest.raises(errors.BodyCut):
            await response.read(100)


async def test_an_unknown_authority_is_refused(
    chain_and_server: tuple[Path, ssl.SSLContext],
) -> None:
    """By default only the public authorities are trusted; nothing was sent."""
    _, server_tls = chain_and_server
    async with (
        upstream(says(SHORT_ANSWER), tls=server_tls) as server,
        closing(UpstreamClient()) as client,
    ):
        with pytest.raises(errors.ConnectFailed):
            await client.send(server.request())
        assert client.stats().active == 0


async def test_a_certificate_for_another_name_is_refused(
    chain_and_server: tuple[Path, ssl.SSLContext],
) -> None:
    """A trusted authority's word counts for the names it vouches for."""
    chain, server_tls = chain_and_server
    async with (
        upstream(says(SHORT_ANSWER), tls=server_tls) as server,
        closing(UpstreamClient(tls=_trusting(chain))) as client,
    ):
        request = server.request()
        elsewhere = replace(request, origin=replace(request.origin, host="localhost"))
        with pytest.raises(errors.ConnectFailed):
            await client.send(elsewhere)
        assert client.stats().active == 0


def test_the_default_context_verifies() -> None:
    """Nobody switches verification off by accident."""
    context = default_tls_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.cert_store_stats()["x509_ca"] > 0
