-- +goose Up

ALTER TABLE incidents ADD COLUMN check_name   TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN last_good    INTEGER;
ALTER TABLE incidents ADD COLUMN first_bad    INTEGER;
ALTER TABLE incidents ADD COLUMN parent       TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN acked_at     INTEGER;
ALTER TABLE incidents ADD COLUMN acked_until  INTEGER;
ALTER TABLE incidents ADD COLUMN acked_by     TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN suppressed   TEXT NOT NULL DEFAULT '';
-- When the suppression by a fault that is over ends.
ALTER TABLE incidents ADD COLUMN release_at   INTEGER;
-- The channels that are told when the suppression ends.
ALTER TABLE incidents ADD COLUMN waiting      TEXT NOT NULL DEFAULT '';
-- The severity that was told last.
ALTER TABLE incidents ADD COLUMN told         TEXT NOT NULL DEFAULT '' CHECK (told IN ('', 'info', 'warning', 'critical'));
ALTER TABLE incidents ADD COLUMN flapping     INTEGER NOT NULL DEFAULT 0 CHECK (flapping IN (0, 1));
-- Of an incident that comes and goes: when it counts as steady, and since when it is well.
ALTER TABLE incidents ADD COLUMN steady_at    INTEGER;
ALTER TABLE incidents ADD COLUMN recovered_at INTEGER;

UPDATE incidents SET told = severity;

CREATE TABLE entries (
    id       INTEGER NOT NULL PRIMARY KEY,
    incident TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    text     TEXT NOT NULL,
    made_by  TEXT NOT NULL
) STRICT;

CREATE INDEX entries_incident ON entries (incident, at, id);

INSERT INTO entries (incident, at, kind, name, text, made_by) SELECT id, opened_at, 'opened', '', title, '' FROM incidents ORDER BY id;
INSERT INTO entries (incident, at, kind, name, text, made_by) SELECT id, resolved_at, 'resolved', '', '', '' FROM incidents WHERE state = 'resolved' AND resolved_at IS NOT NULL ORDER BY id;

CREATE TABLE silences (
    id       TEXT NOT NULL PRIMARY KEY,
    workflow TEXT NOT NULL,
    checked  TEXT NOT NULL,
    reason   TEXT NOT NULL,
    severity TEXT NOT NULL CHECK (severity IN ('', 'info', 'warning', 'critical')),
    why      TEXT NOT NULL,
    made_by  TEXT NOT NULL,
    since    INTEGER NOT NULL,
    until    INTEGER NOT NULL,
    ended_at INTEGER,
    ended_by TEXT NOT NULL
) STRICT;

CREATE INDEX silences_until ON silences (until);

-- SQLite cannot change what a column may hold.
CREATE TABLE notices_new (
    id         TEXT    NOT NULL PRIMARY KEY,
    incident   TEXT    REFERENCES incidents (id) ON DELETE CASCADE,
    channel    TEXT    NOT NULL,
    action     TEXT    NOT NULL CHECK (action IN ('open', 'resolve', 'remind', 'test', 'worse', 'repeat', 'ack', 'digest')),
    combined   INTEGER NOT NULL CHECK (combined IN (0, 1)),
    subject    TEXT    NOT NULL,
    text       TEXT    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('pending', 'sending', 'sent', 'dead', 'superseded')),
    attempts   INTEGER NOT NULL,
    owner      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    next_at    INTEGER NOT NULL,
    ended_at   INTEGER,
    receipt    TEXT    NOT NULL,
    error      TEXT    NOT NULL,
    seq        INTEGER NOT NULL DEFAULT 0,
    -- A notice about an incident waits while one with a smaller turn is owed to the same channel.
    turn       INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO notices_new (id, incident, channel, action, combined, subject, text, state, attempts, owner, created_at, next_at, ended_at, receipt, error, seq, turn)
    SELECT id, incident, channel, action, combined, subject, text, state, attempts, owner, created_at, next_at, ended_at, receipt, error, 0,
    CASE WHEN action = 'resolve' THEN 1 ELSE 0 END FROM notices;
DROP TABLE notices;
ALTER TABLE notices_new RENAME TO notices;

CREATE INDEX notices_owed ON notices (channel, next_at, id) WHERE state IN ('pending', 'sending');
CREATE INDEX notices_sending ON notices (channel, owner) WHERE state = 'sending';
CREATE UNIQUE INDEX notices_incident ON notices (incident, channel, action, seq);
CREATE INDEX notices_channel ON notices (channel, state, id);
CREATE INDEX notices_state ON notices (state, id);
CREATE INDEX notices_free ON notices (ended_at) WHERE incident IS NULL AND ended_at IS NOT NULL;
