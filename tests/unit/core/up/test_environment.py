"""Which variables reach which child."""

from __future__ import annotations

from pathlib import Path

from core.up import environment

SURROUNDINGS = {
    "PATH": "/usr/bin",
    "OPENAI_API_KEY": "sk-provider",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
    "DATABASE_URL": "postgresql://outside",
    "AWS_SECRET_ACCESS_KEY": "cloud",
    "HTTPS_PROXY": "http://proxy",
    "ONEAPI_LOG_LEVEL": "info",
    "ONEAPI_PEPPER_FILE": "/etc/pepper.json",
    "ONEAPI_STRIPE_KEY": "stripe",
    "ONEAPI_STRIPE_WEBHOOK_SECRETS": "whsec",
    "ONEAPI_CORE_PORT": "1",
}
ADDRESSES = environment.Addresses(
    data_dir=Path("/data"),
    credentials=Path("/data/dev/credentials.json"),
    edge_port=8080,
    core_port=50051,
    archiver_port=50052,
    demo_port=4000,
    database_url="postgresql://ours",
)


def test_core_alone_gets_the_database_and_the_providers() -> None:
    """The sole owner of the database is also the one that seals provider credentials."""
    told = environment.core(SURROUNDINGS, ADDRESSES)
    assert told["DATABASE_URL"] == "postgresql://ours"
    assert told["OPENAI_API_KEY"] == "sk-provider"
    assert told["OPENAI_BASE_URL"] == "http://127.0.0.1:9/v1"
    assert told["ONEAPI_STRIPE_KEY"] == "stripe"
    assert told["ONEAPI_STRIPE_WEBHOOK_SECRETS"] == "whsec"


def test_edge_and_archiver_get_settings_but_no_secret() -> None:
    """Neither the database nor any key; the address of this run wins over an inherited one."""
    told = environment.service(SURROUNDINGS, ADDRESSES)
    assert told["ONEAPI_CORE_TARGET"] == "127.0.0.1:50051"
    assert told["ONEAPI_CORE_PORT"] == "50051"
    assert told["ONEAPI_DEMO_BASE_URL"] == "http://127.0.0.1:4000/v1"
    assert told["ONEAPI_PEPPER_FILE"] == "/etc/pepper.json"
    assert told["ONEAPI_LOG_LEVEL"] == "info"
    secrets = {"DATABASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL"}
    payments = {"ONEAPI_STRIPE_KEY", "ONEAPI_STRIPE_WEBHOOK_SECRETS"}
    assert not (secrets | payments) & told.keys()


def test_what_nobody_asked_for_reaches_nobody() -> None:
    """An allow-list: a cloud key or a proxy of the surroundings stays outside."""
    for told in (
        environment.core(SURROUNDINGS, ADDRESSES),
        environment.service(SURROUNDINGS, ADDRESSES),
    ):
        assert not {"AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY"} & told.keys()


def test_the_archiver_alone_gets_what_opens_its_store() -> None:
    """And only if a store was named."""
    named = {
        "ONEAPI_ARCHIVE_STORE": "s3://bucket",
        "ONEAPI_ARCHIVE_S3_SECRET_ACCESS_KEY": "store",
    }
    secrets = {"AWS_SECRET_ACCESS_KEY", "ONEAPI_ARCHIVE_S3_SECRET_ACCESS_KEY"}
    assert secrets <= environment.archiver(SURROUNDINGS | named, ADDRESSES).keys()
    assert not secrets & environment.archiver(SURROUNDINGS, ADDRESSES).keys()
    assert not secrets & environment.service(SURROUNDINGS | named, ADDRESSES).keys()


def test_the_demo_provider_knows_nothing_of_us() -> None:
    """It stands for a program outside."""
    assert environment.outsider(SURROUNDINGS) == {"PATH": "/usr/bin"}


def test_a_scrubbed_edge_has_an_allocator_that_overwrites() -> None:
    """Beside everything that it has anyway."""
    told = environment.scrubbed({"PATH": "/usr/bin"})
    assert told["PATH"] == "/usr/bin"
    assert told["PYTHONMALLOC"] == "malloc"
    assert "perturb=90" in told["GLIBC_TUNABLES"]
