-- The log of each tenant: its events in the order of the whole log, numbered from 0, as leaves of a Merkle tree
-- (RFC 9162): `hash` is SHA-256 over a zero byte and the event's exported line.
CREATE TABLE sealed_events (
    tenant_id text COLLATE "C" NOT NULL,
    leaf bigint NOT NULL,
    position bigint NOT NULL UNIQUE,
    occurred_at timestamptz NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (tenant_id, leaf),
    UNIQUE (tenant_id, position)
) WITH (autovacuum_analyze_threshold = 1000, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX sealed_events_time_idx ON sealed_events (tenant_id, occurred_at);

CREATE TRIGGER sealed_events_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON sealed_events
    FOR EACH STATEMENT EXECUTE FUNCTION stored_events_are_final();

-- The hashes of the perfect subtrees of 256, 65,536, … leaves (levels 8, 16, …). With them and the leaves, any other is
-- a few hundred rows away.
CREATE TABLE sealed_nodes (
    tenant_id text COLLATE "C" NOT NULL,
    level smallint NOT NULL,
    index bigint NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (tenant_id, level, index)
);

CREATE TRIGGER sealed_nodes_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON sealed_nodes
    FOR EACH STATEMENT EXECUTE FUNCTION stored_events_are_final();

-- How far the seal is. `frontier`: the hashes from which the tree grows on. `generation` counts the restores of an older
-- database that were accepted, from 1. `trouble`: why no checkpoint is signed, or none is written outside.
CREATE TABLE sealed_logs (
    tenant_id text COLLATE "C" PRIMARY KEY,
    size bigint NOT NULL,
    frontier bytea NOT NULL,
    generation integer NOT NULL DEFAULT 1,
    signed_size bigint NOT NULL DEFAULT 0,
    published_size bigint NOT NULL DEFAULT 0,
    trouble text,
    trouble_since timestamptz
);

-- Signed notes (C2SP tlog-checkpoint), as they are written outside, too.
CREATE TABLE checkpoints (
    tenant_id text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    size bigint NOT NULL,
    note text NOT NULL,
    signed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, generation, size)
);

CREATE TRIGGER checkpoints_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION stored_events_are_final();

-- A restore of an older database that an operator accepted: the log that was given up, as its last checkpoint told it.
CREATE TABLE accepted_restores (
    tenant_id text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    given_up text NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, generation)
);

CREATE TRIGGER accepted_restores_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON accepted_restores
    FOR EACH STATEMENT EXECUTE FUNCTION stored_events_are_final();

-- The keys that checkpoints were signed with; the public halves.
CREATE TABLE seal_keys (
    public_key bytea PRIMARY KEY,
    used_since timestamptz NOT NULL DEFAULT now()
);

-- The name of this installation in the origin of its checkpoints.
CREATE TABLE installation (
    id uuid NOT NULL
);

INSERT INTO installation VALUES (gen_random_uuid());
