"""Lines to paste: how to fetch a month of the archive, check it, and load it with exact numbers.

`$ONEAPI_BASE_URL` ends in `/v1`; the edge writes its own address in its place.
"""

from __future__ import annotations

BASE_URL = "$ONEAPI_BASE_URL"
_HEADER = '-H "Authorization: Bearer $ONEAPI_API_KEY"'


def snippets(month: str) -> dict[str, str]:
    """Return lines by tool for one month."""
    usage, local = f"{BASE_URL}/archives/{month}/usage.parquet", f"usage-{month}.parquet"
    return {
        "curl": f'curl -fL -C - {_HEADER} -o {local} "{usage}"',
        "curl_csv": f'curl -fL {_HEADER} -o usage-{month}.csv "{usage[:-7]}csv"',
        "duckdb": (
            "duckdb -c \"FROM read_parquet('" + local + "')"
            ' SELECT model, count(*) AS requests, sum(charge) AS usd GROUP BY model"'
        ),
        "pandas": (
            f"import pandas; usage = pandas.read_parquet('{local}', dtype_backend='pyarrow')"
        ),
        "polars": f"import polars; usage = polars.read_parquet('{local}')",
        "verify": f'1api archive verify "{BASE_URL}/archives/{month}"',
    }
