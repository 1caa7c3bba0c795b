"""Where a crowd's buyers come from: most have an address with some others, and hundreds share one,
as behind the network of a university or a mobile operator."""

from ops.local.proxy import has_source_addresses, source_address

BUYERS_AN_ADDRESS = 10
MOST_ADDRESSES = 300
BEHIND_ONE = 400
SHARE_BEHIND_ONE = 2 / 15  # 400 of 3,000


def addresses_of(buyers: int) -> list[str]:
    """The addresses from which each buyer of a crowd comes, by number; empty where this machine has
    only one."""
    if not has_source_addresses():
        return []
    others = max(1, min(MOST_ADDRESSES, buyers // BUYERS_AN_ADDRESS) - 1)
    behind_one = min(BEHIND_ONE, round(buyers * SHARE_BEHIND_ONE))
    return [
        source_address(0 if number < behind_one else 1 + number % others)
        for number in range(buyers)
    ]
