"""Check the registration of businesses: once per e-mail, with valid data, usable at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from bais_gates import Evidence, Unique
from bais_gates.bais import Api, unexpected_statuses
from bais_gates.probes import Response

PATH = "/api/v1/auth/register"
CONCURRENT = 6


@pytest.mark.gate("acceptance.user_registration")
def test_user_registration(api: Api, unique: Unique, evidence: Evidence) -> None:
    """A business registers once and signs in; weak, invalid, incomplete and duplicate data change nothing."""
    answers: list[Response] = []
    account = new_account(unique)
    check_registration_and_sign_in(api, account, answers, evidence)
    check_minimal_data(api, unique, answers, evidence)
    check_duplicates(api, account, unique, answers, evidence)
    check_concurrent_duplicates(api, unique, answers, evidence)
    check_invalid_data(api, unique, answers, evidence)
    violations = {one for answer in answers for one in api.conforms(answer, "POST", PATH)}
    evidence.check("contract violations (all registrations)", sorted(violations), "==", [], n=len(answers))
    leaks = sum(str(account["password"]) in answer.text for answer in answers)
    evidence.check("responses that contain the password", leaks, "==", 0, n=len(answers))


def new_account(unique: Unique, **fields: object) -> dict[str, object]:
    """Return the fields of a valid registration, with ``fields`` replaced."""
    return {
        "email": unique.email("register"),
        "password": unique.password(),
        "business_name": unique.word("business"),
        "contact_name": "Gate Keeper",
        "phone": "+1-555-0123",
        **fields,
    }


def sign_in(api: Api, account: dict[str, object]) -> int:
    """Return the status of signing in with an account's credentials."""
    return api.login(str(account["email"]), str(account["password"])).status


def check_registration_and_sign_in(
    api: Api, account: dict[str, object], answers: list[Response], evidence: Evidence
) -> None:
    """Check that a new account can sign in and use its token without delay."""
    made = api.register(**account)
    answers.append(made)
    evidence.require("status (registration)", made.status, "==", 201, source=made.url)
    signed_in = api.login(str(account["email"]), str(account["password"]))
    evidence.check("status (sign-in after registration)", signed_in.status, "==", 200)
    token = signed_in.field("access_token")
    with_token = api.post("/api/v1/auth/api-keys", json={"name": "first key"}, token=token or "none")
    evidence.check("status (request with the new access token)", with_token.status, "==", 201)


def check_minimal_data(api: Api, unique: Unique, answers: list[Response], evidence: Evidence) -> None:
    """Check that minimal valid data (ten characters, no phone) suffices, and that ids are unique."""
    minimal = new_account(unique, password=f"Aa1!{unique.password()[4:10]}")
    del minimal["phone"]
    answers.append(api.register(**minimal))
    evidence.check("status (shortest password, no phone)", answers[-1].status, "==", 201)
    n = len(answers)
    for key in ("user_id", "verification_token"):
        values = {str(answer.field(key)) for answer in answers if answer.field(key)}
        evidence.check(f"distinct {key} values ({n} registrations)", len(values), "==", n)


def check_duplicates(
    api: Api, account: dict[str, object], unique: Unique, answers: list[Response], evidence: Evidence
) -> None:
    """Check that a registered e-mail is refused, and that the first account stays as it was."""
    user, _, domain = str(account["email"]).partition("@")
    duplicate = new_account(unique, email=account["email"])
    duplicates = {
        "the same e-mail": duplicate,
        "the domain in capitals": {**duplicate, "email": f"{user}@{domain.upper()}"},
    }
    tried = {name: api.register(**fields) for name, fields in duplicates.items()}
    answers.extend(tried.values())
    accepted = unexpected_statuses(409, tried)
    evidence.check("duplicate registrations not refused with 409", accepted, "==", {}, n=len(tried))
    evidence.check("status (sign-in with the duplicate's password)", sign_in(api, duplicate), "==", 401)
    evidence.check("status (sign-in with the original password)", sign_in(api, account), "==", 200)


def check_concurrent_duplicates(
    api: Api, unique: Unique, answers: list[Response], evidence: Evidence
) -> None:
    """Check that exactly one of several concurrent registrations of an e-mail is accepted."""
    email = unique.email("register")
    accounts = [new_account(unique, email=email) for _ in range(CONCURRENT)]
    with ThreadPoolExecutor(CONCURRENT) as pool:
        tried = list(pool.map(lambda account: api.register(**account), accounts))
    answers.extend(tried)
    statuses = sorted(answer.status for answer in tried)
    expected = [201] + [409] * (CONCURRENT - 1)
    evidence.check(
        f"statuses ({CONCURRENT} concurrent registrations of one e-mail)", statuses, "==", expected
    )
    accepted = [account for account, answer in zip(accounts, tried, strict=True) if answer.status == 201]
    refused = [account for account, answer in zip(accounts, tried, strict=True) if answer.status != 201]
    statuses = [sign_in(api, account) for account in accepted]
    evidence.check("statuses (sign-in with the accepted password)", statuses, "==", [200])
    statuses = [sign_in(api, account) for account in refused[:1]]
    evidence.check("statuses (sign-in with a refused password)", statuses, "==", [401])


def check_invalid_data(api: Api, unique: Unique, answers: list[Response], evidence: Evidence) -> None:
    """Check that invalid data is refused, and creates no account."""
    weak = {name: new_account(unique, password=password) for name, password in WEAK_PASSWORDS.items()}
    invalid = {name: new_account(unique, email=email) for name, email in INVALID_EMAILS.items()}
    incomplete = {name: new_account(unique) for name in REQUIRED}
    for name, account in incomplete.items():
        del account[name]
    for group, accounts in (
        ("weak password", weak),
        ("invalid e-mail", invalid),
        ("missing field", incomplete),
    ):
        tried = {name: api.register(**account) for name, account in accounts.items()}
        answers.extend(tried.values())
        accepted = unexpected_statuses(400, tried)
        evidence.check(f"registrations not refused with 400 ({group})", accepted, "==", {}, n=len(tried))
    refused = weak["no symbol"]
    evidence.check("status (sign-in with a refused weak password)", sign_in(api, refused), "==", 401)
    valid = api.register(**{**refused, "password": unique.password()})
    answers.append(valid)
    evidence.check("status (registration after a refused one, same e-mail)", valid.status, "==", 201)


REQUIRED = ("email", "password", "business_name", "contact_name")
WEAK_PASSWORDS = {
    "nine characters": "Aa1!aaaaa",
    "no upper case": "aa1!aaaaaaaa",
    "no lower case": "AA1!AAAAAAAA",
    "no digit": "Aaa!aaaaaaaa",
    "no symbol": "Aaa1aaaaaaaa",
    "empty": "",
}
INVALID_EMAILS = {
    "no @": "example.com",
    "no user": "@example.com",
    "no domain": "someone@",
    "a space": "some one@example.com",
    "two @": "some@one@example.com",
}
