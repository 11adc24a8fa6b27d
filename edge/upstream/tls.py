"""Whom we trust on the way to an upstream."""

from __future__ import annotations

import ssl

import certifi


def default_tls_context() -> ssl.SSLContext:
    """Return a context that verifies names and chains: the system's authorities, else certifi's."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(cafile=certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
