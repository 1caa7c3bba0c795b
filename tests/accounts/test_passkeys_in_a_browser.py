"""Passkeys in Chromium, on the page /passkeys, with a device that the browser plays."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from flask import Flask

from db.connections import Conn, one
from db.runtime.settings import settings
from tests.support.sites import serving
from tests.support.world import Caller

DRIVER = find_spec("playwright")
if TYPE_CHECKING or DRIVER:
    from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.system,
    pytest.mark.processes,
    pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium"),
    pytest.mark.skipif(not DRIVER, reason="needs requirements-system.txt"),
]


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as program:
        # As root its sandbox does not start; it sees pages of this test alone.
        running = program.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def home(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The app at a host name, which it knows."""
    with serving(app) as address:
        url = f"http://localhost:{urlsplit(address).port}"
        monkeypatch.setenv("PUBLIC_URL", url)
        settings.cache_clear()
        yield url


@pytest.fixture
def page(browser: Browser, home: str) -> Page:
    """A page of a browser that has a device for passkeys."""
    page = browser.new_page()
    tools = page.context.new_cdp_session(page)
    tools.send("WebAuthn.enable")
    tools.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})
    return page


def sign_in_by_code(page: Page, home: str, conn: Conn, email: str) -> None:
    """Ask for a code as a page of ours does, and press the button of the mail's link."""
    asked = {"email": email, "carrier": "cookie"}
    assert page.request.post(f"{home}/v1/tokens", data=asked, headers={"Origin": home}).ok
    code = one(conn.execute("select context ->> 'code' as code from emails"))["code"]
    page.goto(f"{home}/sign-in?code={code}")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading")).to_have_text("You are signed in")


def test_a_person_adds_a_passkey_and_signs_in_by_it(
    page: Page, home: str, alice: Caller, conn: Conn
) -> None:
    sign_in_by_code(page, home, conn, "alice@example.org")
    page.goto(f"{home}/passkeys")
    page.get_by_label("Name").fill("The laptop")
    page.get_by_role("button", name="Add a passkey").click()
    told = page.get_by_role("status")
    expect(told).to_have_text("The passkey is added.")
    expect(page.get_by_role("listitem")).to_contain_text("The laptop")
    page.get_by_role("button", name="second factor").click()
    expect(told).to_have_text("The second factor is given.")

    page.context.clear_cookies()
    page.reload()
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(told).to_have_text("You are signed in.")
    session = "select authenticated_by, account_id, second_factor_at from sessions order by id desc"
    row = one(conn.execute(f"{session} limit 1"))
    assert (row["authenticated_by"], row["account_id"]) == ("passkey", alice.id)
    assert row["second_factor_at"]

    page.get_by_role("button", name="Remove").click()
    expect(told).to_have_text("The passkey is removed.")
    page.context.clear_cookies()
    page.reload()
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(told).to_contain_text("This is no passkey of this site")
