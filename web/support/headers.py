"""Headers that every answer has: browsers shall guess no types, embed nothing, and keep nothing
that is not meant to be kept."""

from flask import Flask, Response

NOTHING = "default-src 'none'; frame-ancestors 'none'"
OWN_FILES = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'"
)
"""The page of the API's documentation has its start in the page itself."""

ALWAYS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

LIVE = {**ALWAYS, "Content-Security-Policy": NOTHING, "Cache-Control": "no-store"}
"""Of all answers of the live process, which has no pages and nothing to be kept."""


def protect_answers(app: Flask) -> None:
    app.after_request(add_headers)


def add_headers(answer: Response) -> Response:
    for name, value in ALWAYS.items():
        answer.headers.setdefault(name, value)
    is_page = answer.mimetype == "text/html"
    answer.headers.setdefault("Content-Security-Policy", OWN_FILES if is_page else NOTHING)
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer
