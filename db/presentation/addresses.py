"""E-mail addresses, in the one form in which they are kept, compared and mailed.

`Kai@Straße.example` is kept as `Kai@xn--strae-oqa.example`: the domain by IDNA 2008 (UTS 46,
non-transitional), so that it is the domain that was typed and no other one. The standard library's
"idna" follows the older standard, for which it is strasse.example: another person's domain.
"""

import re

from email_validator import EmailNotValidError, validate_email

MAX_ADDRESS = 254
_ADDRESS = re.compile(r"""("[^"\n]{1,64}"|[^\s<>()'":,;@]+)@[^\s<>()'":,;@]+""")


class AddressError(ValueError):
    """No mail can be sent to the address. The message says why."""


def read_address(text: str) -> str:
    """Return the address in the form that is mailed, which has ASCII alone.

    A local part in other alphabets is refused, since not every mail server on the way takes one. So
    is one of more than 64 characters, and a domain whose labels are too long. Errors: AddressError.
    """
    try:
        # Test domains are allowed: a delivered mail proves an address, not its look.
        found = validate_email(
            text.strip(),
            allow_smtputf8=False,
            allow_quoted_local=True,
            check_deliverability=False,
            test_environment=True,
            strict=True,
        )
    except EmailNotValidError as error:
        raise AddressError(str(error)) from None
    if found.ascii_email is None or len(found.ascii_email) > MAX_ADDRESS:
        raise AddressError(f"Must not be longer than {MAX_ADDRESS} characters.")
    return found.ascii_email


def without_addresses(text: str) -> str:
    """The text with … in place of every e-mail address: errors of mail servers repeat them, and
    addresses are kept with the buyer alone."""
    return _ADDRESS.sub("…@…", text)
