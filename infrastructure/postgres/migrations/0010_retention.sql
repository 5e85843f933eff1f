-- What is to be erased, committed with the event that promises it. `stream` is the scan or connector, `position` the
-- event's; `done_at` is set when nothing of it is left.
CREATE TABLE erasures (
    stream text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    done_at timestamptz,
    PRIMARY KEY (stream, position)
);
CREATE INDEX erasures_open_idx ON erasures (position) WHERE done_at IS NULL;

-- Raised when what a follower writes was changed by another hand: what it remembers of it, it must read anew.
ALTER TABLE followers ADD COLUMN epoch integer NOT NULL DEFAULT 0;

-- What hides the object keys in a scan's events. A row that is deleted erases them in every copy of the log.
CREATE TABLE scan_keys (
    scan_id text COLLATE "C" PRIMARY KEY,
    key bytea NOT NULL
);

-- Who read what. Written before the answer leaves.
CREATE TABLE access_records (
    record_id bigserial PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL,
    key_id text COLLATE "C" NOT NULL,
    operation text COLLATE "C" NOT NULL,
    scan_id text COLLATE "C",
    connector_id text COLLATE "C",
    filters jsonb NOT NULL,
    row_count bigint,
    request_id text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX access_records_newest_idx ON access_records (tenant_id, record_id DESC);

CREATE FUNCTION access_records_are_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the record of accesses is append-only: % refused', TG_OP;
END $$;

CREATE TRIGGER access_records_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON access_records
    FOR EACH STATEMENT EXECUTE FUNCTION access_records_are_final();

REVOKE UPDATE, DELETE, TRUNCATE ON access_records FROM PUBLIC;
