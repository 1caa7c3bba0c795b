"""What a person does in the gateway's dashboard, beside Usher."""

import stripe


def dashboard(api_key: str = "") -> stripe.StripeClient:
    """Stripe's client with a key; default: the platform's."""
    from tasks.gateways.stripe.accounts import Access, client_with, platform_key

    return client_with(Access(api_key or platform_key("live")))
