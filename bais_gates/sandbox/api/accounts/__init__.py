"""Registration, sign-in, access tokens and API keys."""
