"""The first schema: businesses and their users, keys, workflows, payments, webhooks, and the audit log."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

_UPGRADE = """
CREATE TABLE businesses (
  id text PRIMARY KEY,
  name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE users (
  id text PRIMARY KEY,
  business_id text NOT NULL REFERENCES businesses,
  email text NOT NULL UNIQUE,
  password_hash text NOT NULL,
  contact_name text NOT NULL,
  phone text,
  verification_hash bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE refresh_tokens (
  hash bytea PRIMARY KEY,
  user_id text NOT NULL REFERENCES users,
  business_id text NOT NULL REFERENCES businesses,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  used_at timestamptz
);
CREATE TABLE api_keys (
  id text PRIMARY KEY,
  business_id text NOT NULL REFERENCES businesses,
  user_id text NOT NULL REFERENCES users,
  name text NOT NULL,
  hash bytea NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  revoked_at timestamptz
);
CREATE TABLE workflows (
  id text PRIMARY KEY,
  business_id text NOT NULL REFERENCES businesses,
  name text NOT NULL,
  description text,
  payment_provider text NOT NULL,
  amount numeric(12, 2) NOT NULL CHECK (amount > 0),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  webhook_url text NOT NULL,
  metadata text NOT NULL,
  public_key text NOT NULL UNIQUE,
  status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE payments (
  id text PRIMARY KEY,
  business_id text NOT NULL REFERENCES businesses,
  workflow_id text NOT NULL REFERENCES workflows,
  amount numeric(12, 2) NOT NULL CHECK (amount > 0),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  status text NOT NULL CHECK (status IN ('completed', 'pending', 'processing', 'failed', 'declined')),
  customer_email text,
  card_last_four text NOT NULL CHECK (card_last_four ~ '^[0-9]{4}$'),
  failure_reason text,
  idempotency_key text,
  created_at timestamptz NOT NULL,
  settle_at timestamptz
);
CREATE INDEX payments_by_business ON payments (business_id, created_at);
CREATE INDEX payments_to_settle ON payments (settle_at)
  WHERE status = 'pending' AND settle_at IS NOT NULL;
CREATE TABLE idempotency_keys (
  business_id text NOT NULL REFERENCES businesses,
  key text NOT NULL,
  fingerprint bytea NOT NULL,
  status smallint NOT NULL,
  response bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (business_id, key)
);
CREATE INDEX idempotency_keys_by_end ON idempotency_keys (expires_at);
CREATE TABLE webhooks (
  id text PRIMARY KEY,
  business_id text NOT NULL REFERENCES businesses,
  url text NOT NULL,
  events text[] NOT NULL,
  secret bytea NOT NULL,
  active boolean NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  disabled_at timestamptz
);
CREATE INDEX webhooks_by_business ON webhooks (business_id);
CREATE TABLE webhook_deliveries (
  id text PRIMARY KEY,
  webhook_id text NOT NULL REFERENCES webhooks,
  business_id text NOT NULL REFERENCES businesses,
  event text NOT NULL,
  body bytea NOT NULL,
  state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed', 'cancelled')),
  attempts integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  last_status integer,
  created_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_id) WHERE state = 'pending';
CREATE TABLE audit_log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL,
  request_id text NOT NULL,
  business_id text NOT NULL,
  actor text NOT NULL,
  action text NOT NULL,
  object text NOT NULL,
  address text NOT NULL,
  allowed boolean NOT NULL
);
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  RAISE EXCEPTION 'the audit log can only be appended to' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    """Create all tables."""
    op.get_bind().exec_driver_sql(_UPGRADE)
