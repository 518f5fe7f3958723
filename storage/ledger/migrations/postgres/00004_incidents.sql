-- +goose Up

ALTER TABLE incidents ADD COLUMN check_name   TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN last_good    BIGINT;
ALTER TABLE incidents ADD COLUMN first_bad    BIGINT;
ALTER TABLE incidents ADD COLUMN parent       TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN acked_at     BIGINT;
ALTER TABLE incidents ADD COLUMN acked_until  BIGINT;
ALTER TABLE incidents ADD COLUMN acked_by     TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN suppressed   TEXT NOT NULL DEFAULT '';
-- When the suppression by a fault that is over ends.
ALTER TABLE incidents ADD COLUMN release_at   BIGINT;
-- The channels that are told when the suppression ends.
ALTER TABLE incidents ADD COLUMN waiting      TEXT NOT NULL DEFAULT '';
-- The severity that was told last.
ALTER TABLE incidents ADD COLUMN told         TEXT NOT NULL DEFAULT '' CHECK (told IN ('', 'info', 'warning', 'critical'));
ALTER TABLE incidents ADD COLUMN flapping     SMALLINT NOT NULL DEFAULT 0 CHECK (flapping IN (0, 1));
-- Of an incident that comes and goes: when it counts as steady, and since when it is well.
ALTER TABLE incidents ADD COLUMN steady_at    BIGINT;
ALTER TABLE incidents ADD COLUMN recovered_at BIGINT;

UPDATE incidents SET told = severity;

CREATE TABLE entries (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident TEXT COLLATE "C" NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    at       BIGINT NOT NULL,
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    text     TEXT NOT NULL,
    made_by  TEXT NOT NULL
);

CREATE INDEX entries_incident ON entries (incident, at, id);

INSERT INTO entries (incident, at, kind, name, text, made_by) SELECT id, opened_at, 'opened', '', title, '' FROM incidents ORDER BY id;
INSERT INTO entries (incident, at, kind, name, text, made_by) SELECT id, resolved_at, 'resolved', '', '', '' FROM incidents WHERE state = 'resolved' AND resolved_at IS NOT NULL ORDER BY id;

CREATE TABLE silences (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workflow TEXT NOT NULL,
    checked  TEXT NOT NULL,
    reason   TEXT NOT NULL,
    severity TEXT NOT NULL CHECK (severity IN ('', 'info', 'warning', 'critical')),
    why      TEXT NOT NULL,
    made_by  TEXT NOT NULL,
    since    BIGINT NOT NULL,
    until    BIGINT NOT NULL,
    ended_at BIGINT,
    ended_by TEXT NOT NULL
);

CREATE INDEX silences_until ON silences (until);

ALTER TABLE notices ADD COLUMN seq  BIGINT NOT NULL DEFAULT 0;
-- A notice about an incident waits while one with a smaller turn is owed to the same channel.
ALTER TABLE notices ADD COLUMN turn BIGINT NOT NULL DEFAULT 0;
ALTER TABLE notices DROP CONSTRAINT notices_action_check;
ALTER TABLE notices ADD CONSTRAINT notices_action_check CHECK (action IN ('open', 'resolve', 'remind', 'test', 'worse', 'repeat', 'ack', 'digest'));
UPDATE notices SET turn = 1 WHERE action = 'resolve';
DROP INDEX notices_incident;
CREATE UNIQUE INDEX notices_incident ON notices (incident, channel, action, seq);
