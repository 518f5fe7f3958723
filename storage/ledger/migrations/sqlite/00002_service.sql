-- +goose Up

ALTER TABLE runs ADD COLUMN overlap     TEXT    NOT NULL DEFAULT 'allow' CHECK (overlap IN ('skip', 'queue', 'allow'));
ALTER TABLE runs ADD COLUMN approval    INTEGER NOT NULL DEFAULT 0 CHECK (approval IN (0, 1));
ALTER TABLE runs ADD COLUMN approved_by TEXT    NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN alert       INTEGER NOT NULL DEFAULT 0 CHECK (alert IN (0, 1));
ALTER TABLE runs ADD COLUMN slots       INTEGER NOT NULL DEFAULT 1 CHECK (slots > 0);
ALTER TABLE runs ADD COLUMN last_slot   INTEGER;

CREATE INDEX runs_spec ON runs (spec);
CREATE INDEX runs_folded ON runs (workflow, last_slot) WHERE last_slot IS NOT NULL;

ALTER TABLE attempts ADD COLUMN planned TEXT NOT NULL DEFAULT '';

CREATE TABLE cursors (
    workflow TEXT    NOT NULL,
    host     TEXT    NOT NULL,
    schedule TEXT    NOT NULL,
    through  INTEGER NOT NULL,
    since    INTEGER NOT NULL,
    PRIMARY KEY (workflow, host)
) STRICT;

CREATE TABLE pauses (
    workflow    TEXT    NOT NULL PRIMARY KEY,
    paused_by   TEXT    NOT NULL,
    why         TEXT    NOT NULL,
    since       INTEGER NOT NULL,
    until       INTEGER,
    reminded_at INTEGER
) STRICT;

CREATE TABLE incidents (
    id          TEXT    NOT NULL PRIMARY KEY,
    fingerprint TEXT    NOT NULL,
    workflow    TEXT    NOT NULL,
    severity    TEXT    NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    reason      TEXT    NOT NULL,
    title       TEXT    NOT NULL,
    run         TEXT    NOT NULL,
    channels    TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('open', 'resolved')),
    count       INTEGER NOT NULL,
    opened_at   INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    resolved_at INTEGER,
    resolver    TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX incidents_open ON incidents (fingerprint) WHERE state = 'open';
CREATE INDEX incidents_fingerprint ON incidents (fingerprint, id);

CREATE TABLE notices (
    id         TEXT    NOT NULL PRIMARY KEY,
    incident   TEXT    REFERENCES incidents (id) ON DELETE CASCADE,
    channel    TEXT    NOT NULL,
    action     TEXT    NOT NULL CHECK (action IN ('open', 'resolve', 'remind', 'test')),
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
    error      TEXT    NOT NULL
) STRICT;

CREATE INDEX notices_owed ON notices (channel, next_at, id) WHERE state IN ('pending', 'sending');
CREATE INDEX notices_incident ON notices (incident, channel, id);
CREATE INDEX notices_channel ON notices (channel, id);

CREATE TABLE events (
    id      TEXT    NOT NULL PRIMARY KEY,
    kind    TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    text    TEXT    NOT NULL,
    made_by TEXT    NOT NULL,
    at      INTEGER NOT NULL
) STRICT;

CREATE INDEX events_at ON events (at);
