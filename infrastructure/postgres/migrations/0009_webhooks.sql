-- Where tenants have their events sent to. Events up to the position `since` came before it. While `leased_until` is
-- ahead, the sender that knows `lease` is the only one to send to it; `served_at` is when its last turn began.
CREATE TABLE webhooks (
    webhook_id text COLLATE "C" PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL,
    url text NOT NULL,
    description text NOT NULL,
    kinds text[] NOT NULL,
    disabled_reason text,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    since bigint NOT NULL,
    lease text,
    leased_until timestamptz,
    served_at timestamptz
);
CREATE INDEX webhooks_newest_idx ON webhooks (tenant_id, created_at DESC, webhook_id DESC);

-- AES-256-GCM envelopes; the associated data is tenant|webhook|field. One without an end signs until it is followed by
-- another.
CREATE TABLE webhook_secrets (
    webhook_id text COLLATE "C" NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    generation integer NOT NULL,
    until timestamptz,
    field text NOT NULL,
    key_id text NOT NULL,
    wrapped_key bytea NOT NULL,
    ciphertext bytea NOT NULL,
    PRIMARY KEY (webhook_id, generation)
);

-- An event on its way to a webhook: the event stands in the log, at `position`.
CREATE TABLE webhook_deliveries (
    webhook_id text COLLATE "C" NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    position bigint NOT NULL,
    status text NOT NULL,
    attempts integer NOT NULL,
    next_at timestamptz,
    last_at timestamptz,
    last_status integer,
    last_detail text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (webhook_id, position),
    CHECK (status IN ('pending', 'delivered', 'dead')),
    CHECK ((next_at IS NOT NULL) = (status = 'pending'))
);
CREATE INDEX webhook_deliveries_due_idx ON webhook_deliveries (webhook_id, next_at) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_dead_idx ON webhook_deliveries (webhook_id, position) WHERE status = 'dead';
CREATE INDEX webhook_deliveries_done_idx ON webhook_deliveries (last_at) WHERE status = 'delivered';
