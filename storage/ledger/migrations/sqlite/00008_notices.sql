-- +goose Up

-- SQLite cannot change what a column may hold.
CREATE TABLE notices_new (
    id         TEXT    NOT NULL PRIMARY KEY,
    incident   TEXT    REFERENCES incidents (id) ON DELETE CASCADE,
    channel    TEXT    NOT NULL,
    action     TEXT    NOT NULL CHECK (action IN ('open', 'resolve', 'remind', 'test', 'worse', 'repeat', 'ack', 'digest', 'weekly', 'change')),
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
    SELECT id, incident, channel, action, combined, subject, text, state, attempts, owner, created_at, next_at, ended_at, receipt, error, seq, turn FROM notices;
DROP TABLE notices;
ALTER TABLE notices_new RENAME TO notices;

CREATE INDEX notices_owed ON notices (channel, next_at, id) WHERE state IN ('pending', 'sending');
CREATE INDEX notices_sending ON notices (channel, owner) WHERE state = 'sending';
CREATE UNIQUE INDEX notices_incident ON notices (incident, channel, action, seq);
CREATE INDEX notices_channel ON notices (channel, state, id);
CREATE INDEX notices_state ON notices (state, id);
CREATE INDEX notices_free ON notices (ended_at) WHERE incident IS NULL AND ended_at IS NOT NULL;
