CREATE TABLE tenants (
    tenant_id text PRIMARY KEY,
    name text NOT NULL,
    tier text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Only a keyed hash of the secret is kept.
CREATE TABLE api_keys (
    key_id text PRIMARY KEY,
    tenant_id text NOT NULL REFERENCES tenants,
    secret_hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- AES-256-GCM envelopes; the associated data is tenant|connector|field.
CREATE TABLE connector_secrets (
    connector_id text COLLATE "C" NOT NULL,
    field text NOT NULL,
    key_id text NOT NULL,
    wrapped_key bytea NOT NULL,
    ciphertext bytea NOT NULL,
    PRIMARY KEY (connector_id, field)
);

-- The answer of a POST that creates, kept so that the same key and body give it again.
CREATE TABLE idempotency_keys (
    tenant_id text NOT NULL REFERENCES tenants,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status_code integer,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotency_keys_age_idx ON idempotency_keys (created_at);
