"""Arguments of the console's commands that take more than argparse knows."""

import argparse
from ipaddress import ip_network

from db.presentation.texts import TextError, read_line


def line(text: str) -> str:
    """A name or a reason, under the rule that the API has for it."""
    try:
        read = read_line(text)
    except TextError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not read:
        raise argparse.ArgumentTypeError("Must not be empty.")
    return read


def network(text: str) -> str:
    """A network in CIDR notation."""
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"Not a network: {error}.") from None
