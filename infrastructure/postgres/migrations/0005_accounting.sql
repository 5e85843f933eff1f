-- The listing unit a page was listed by: a unit's pages are in key order.
ALTER TABLE manifest_pages ADD COLUMN unit integer;
UPDATE manifest_pages p SET unit = (e.data ->> 'unit')::integer FROM events e
WHERE e.kind = 'scan.objects-listed' AND e.stream = p.scan_id AND (e.data ->> 'first_index')::bigint = p.first_index;
ALTER TABLE manifest_pages ALTER COLUMN unit SET NOT NULL;
CREATE INDEX manifest_pages_unit_idx ON manifest_pages (scan_id, unit, first_index);

-- What a part of a huge object came to, until its other parts are in.
CREATE TABLE object_parts (
    scan_id text COLLATE "C" NOT NULL,
    object_index bigint NOT NULL,
    part integer NOT NULL,
    lines bigint NOT NULL,
    records bigint NOT NULL,
    findings bytea NOT NULL,
    PRIMARY KEY (scan_id, object_index, part)
);

-- Set when a later scan of the connector no longer finds the object.
ALTER TABLE findings ADD COLUMN gone_at timestamptz;
CREATE INDEX findings_of_object_idx ON findings (connector, left(object, 256)) WHERE gone_at IS NULL;

-- What is known of a connector's objects from the scans that ended, as of the last of them: the pages of `generation`.
CREATE TABLE inventories (
    connector_id text COLLATE "C" PRIMARY KEY,
    location text NOT NULL,
    generation bigint NOT NULL,
    files bigint NOT NULL,
    scan_id text NOT NULL
);

-- Entries in key order, as compressed columns. Keys are the bytes of their UTF-8, which sort as the provider's do.
CREATE TABLE inventory_pages (
    connector_id text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    first_key bytea NOT NULL,
    files integer NOT NULL,
    entries bytea NOT NULL,
    PRIMARY KEY (connector_id, generation, first_key)
);
ALTER TABLE inventory_pages ALTER COLUMN entries SET STORAGE EXTERNAL;

-- The last incremental scan that claimed a connector. Once that scan has ended the claim stands for nothing.
CREATE TABLE incremental_claims (
    connector_id text COLLATE "C" PRIMARY KEY,
    scan_id text COLLATE "C" NOT NULL
);

-- As before, and refused as well where the last event of the kinds `alternating` is of the first new event's kind: a
-- scan that is paused is not paused again.
DROP FUNCTION append_next(text, text[], bytea[], text[]);
CREATE FUNCTION append_next(id text, new_topics text[], new_states bytea[], unless text[], alternating text[])
RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE
    latest bigint;
BEGIN
    LOCK TABLE stored_events IN EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM stored_events e WHERE e.originator_id = id AND e.topic = ANY (unless)
               AND e.topic NOT IN ('scan.objects-listed', 'scan.chunk-started', 'scan.chunk-completed', 'scan.chunk-failed'))
       OR new_topics[1] = (SELECT e.topic FROM stored_events e WHERE e.originator_id = id AND e.topic = ANY (alternating)
               AND e.topic NOT IN ('scan.objects-listed', 'scan.chunk-started', 'scan.chunk-completed', 'scan.chunk-failed')
               ORDER BY e.originator_version DESC LIMIT 1)
    THEN
        RETURN;
    END IF;
    SELECT coalesce(max(e.originator_version), 0) INTO latest FROM stored_events e WHERE e.originator_id = id;
    PERFORM pg_notify('stored_events', '');
    RETURN QUERY
        INSERT INTO stored_events (originator_id, originator_version, topic, state)
        SELECT id, latest + e.place, e.topic, e.state
        FROM unnest(new_topics, new_states) WITH ORDINALITY AS e (topic, state, place)
        ORDER BY e.place
        RETURNING notification_id;
END $$;
