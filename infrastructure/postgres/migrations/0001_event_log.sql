-- The append-only log. Columns as the eventsourcing library's recorder wants them; `state` is plain JSON in UTF-8.
CREATE TABLE stored_events (
    originator_id text COLLATE "C" NOT NULL,
    originator_version bigint NOT NULL,
    topic text COLLATE "C" NOT NULL,
    state bytea NOT NULL,
    notification_id bigserial NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
) WITH (autovacuum_analyze_threshold = 1000, autovacuum_analyze_scale_factor = 0.05);

CREATE UNIQUE INDEX stored_events_notification_id_idx ON stored_events (notification_id);

-- A scan's course without its bulk: what cancelling needs to know, however many chunks there are.
CREATE INDEX stored_events_lifecycle_idx ON stored_events (originator_id, originator_version)
    WHERE topic NOT IN ('scan.objects-listed', 'scan.chunk-started', 'scan.chunk-completed', 'scan.chunk-failed');

CREATE FUNCTION stored_events_are_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event log is append-only: % refused', TG_OP;
END $$;

CREATE TRIGGER stored_events_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON stored_events
    FOR EACH STATEMENT EXECUTE FUNCTION stored_events_are_final();

REVOKE UPDATE, DELETE, TRUNCATE ON stored_events FROM PUBLIC;

-- The lock makes insert order and commit order the same, so that followers never pass over a gap that fills later.
CREATE FUNCTION append_events(ids text[], versions bigint[], topics text[], states bytea[])
RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE stored_events IN EXCLUSIVE MODE;
    PERFORM pg_notify('stored_events', '');
    RETURN QUERY
        INSERT INTO stored_events (originator_id, originator_version, topic, state)
        SELECT e.id, e.version, e.topic, e.state
        FROM unnest(ids, versions, topics, states) WITH ORDINALITY AS e (id, version, topic, state, place)
        ORDER BY e.place
        RETURNING notification_id;
END $$;

-- Appends at whatever version comes next, unless the stream already holds one of the kinds in `unless`: a decision that
-- rests on those alone needs no retry against a busy writer. Gives no row when refused.
CREATE FUNCTION append_next(id text, new_topics text[], new_states bytea[], unless text[])
RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE
    latest bigint;
BEGIN
    LOCK TABLE stored_events IN EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM stored_events e WHERE e.originator_id = id AND e.topic = ANY (unless)
               AND e.topic NOT IN ('scan.objects-listed', 'scan.chunk-started', 'scan.chunk-completed', 'scan.chunk-failed'))
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

-- jsonb holds no NUL; one in a key must not cost an auditor the whole query.
CREATE VIEW events AS
SELECT notification_id AS position, originator_id AS stream, originator_version AS version, topic AS kind,
       replace(convert_from(state, 'UTF8'), '\u0000', '\ufffd')::jsonb AS data
FROM stored_events;

CREATE TABLE followers (
    name text PRIMARY KEY,
    position bigint NOT NULL
);
