"""Sum a week and the one before by region and product."""

import json
import sys
from typing import Any


def main() -> None:
    given = json.load(sys.stdin)["input"]
    week, rows = given["week"], given["rows"]
    sums: dict[tuple[str, str, int], float] = {}
    for row in rows:
        key = (row["region"], row["product"], row["week"])
        sums[key] = sums.get(key, 0.0) + row["revenue"]

    def total(region: str | None, product: str | None, at: int) -> float:
        found = (
            value
            for (in_region, of, when), value in sums.items()
            if when == at and region in (None, in_region) and product in (None, of)
        )
        return round(sum(found), 2)

    regions = sorted({row["region"] for row in rows})
    products = sorted({row["product"] for row in rows})
    answer: dict[str, Any] = {
        "total": total(None, None, week),
        "totalBefore": total(None, None, week - 1),
        "regions": [
            {
                "region": region,
                "total": total(region, None, week),
                "products": products,
                "now": [total(region, product, week) for product in products],
                "before": [total(region, product, week - 1) for product in products],
            }
            for region in regions
        ],
        "products": [
            {
                "product": product,
                "change": round(total(None, product, week) - total(None, product, week - 1), 2),
            }
            for product in products
        ],
    }
    json.dump(answer, sys.stdout)


main()
