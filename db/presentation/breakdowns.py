"""What a booking's total is made of, as buyers read it: the same as the SQL function
`price_breakdown`, which writes receipts and mails, from lines that have been read anyhow."""

from collections.abc import Iterable, Mapping
from typing import Any


def break_down(items: Iterable[Mapping[str, Any]], own_fee: Mapping[str, Any]) -> dict[str, Any]:
    """Add up items {price, fee, tax_rate, tax} and the booking's own fee {fee, tax_rate, tax}: net,
    tax and total, all of them by rate of tax, and the fees in the total."""
    booking_fee = own_fee["fee"]
    lines = [*items, {"price": 0, **own_fee}] if booking_fee else list(items)
    taxes: dict[float, dict[str, Any]] = {}
    for line in sorted(lines, key=lambda line: float(line["tax_rate"])):
        rate, gross, tax = line["tax_rate"], line["price"] + line["fee"], line["tax"]
        part = taxes.setdefault(rate, {"rate": rate, "net": 0, "tax": 0, "total": 0})
        part["net"] += gross - tax
        part["tax"] += tax
        part["total"] += gross
    sums = {name: sum(part[name] for part in taxes.values()) for name in ("net", "tax", "total")}
    fees = sum(line["fee"] for line in lines)
    return {"taxes": [*taxes.values()], **sums, "fees": fees, "booking_fee": booking_fee}
