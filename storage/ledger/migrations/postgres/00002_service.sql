-- +goose Up

ALTER TABLE runs ADD COLUMN overlap     TEXT    NOT NULL DEFAULT 'allow' CHECK (overlap IN ('skip', 'queue', 'allow'));
ALTER TABLE runs ADD COLUMN approval    SMALLINT NOT NULL DEFAULT 0 CHECK (approval IN (0, 1));
ALTER TABLE runs ADD COLUMN approved_by TEXT    NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN alert       SMALLINT NOT NULL DEFAULT 0 CHECK (alert IN (0, 1));
ALTER TABLE runs ADD COLUMN slots       BIGINT NOT NULL DEFAULT 1 CHECK (slots > 0);
ALTER TABLE runs ADD COLUMN last_slot   BIGINT;

CREATE INDEX runs_spec ON runs (spec);
CREATE INDEX runs_folded ON runs (workflow, last_slot) WHERE last_slot IS NOT NULL;

ALTER TABLE attempts ADD COLUMN planned TEXT NOT NULL DEFAULT '';

CREATE TABLE cursors (
    workflow TEXT COLLATE "C"    NOT NULL,
    host     TEXT COLLATE "C"    NOT NULL,
    schedule TEXT    NOT NULL,
    through  BIGINT NOT NULL,
    since    BIGINT NOT NULL,
    PRIMARY KEY (workflow, host)
);

CREATE TABLE pauses (
    workflow    TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    paused_by   TEXT    NOT NULL,
    why         TEXT    NOT NULL,
    since       BIGINT NOT NULL,
    until       BIGINT,
    reminded_at BIGINT
);

CREATE TABLE incidents (
    id          TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    fingerprint TEXT COLLATE "C"    NOT NULL,
    workflow    TEXT COLLATE "C"    NOT NULL,
    severity    TEXT    NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    reason      TEXT    NOT NULL,
    title       TEXT    NOT NULL,
    run         TEXT COLLATE "C"    NOT NULL,
    channels    TEXT    NOT NULL,
    state       TEXT COLLATE "C"    NOT NULL CHECK (state IN ('open', 'resolved')),
    count       BIGINT NOT NULL,
    opened_at   BIGINT NOT NULL,
    last_at     BIGINT NOT NULL,
    resolved_at BIGINT,
    resolver    TEXT COLLATE "C"    NOT NULL
);

CREATE UNIQUE INDEX incidents_open ON incidents (fingerprint) WHERE state = 'open';
CREATE INDEX incidents_fingerprint ON incidents (fingerprint, id);

CREATE TABLE notices (
    id         TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    incident   TEXT COLLATE "C"    REFERENCES incidents (id) ON DELETE CASCADE,
    channel    TEXT COLLATE "C"    NOT NULL,
    action     TEXT COLLATE "C"    NOT NULL CHECK (action IN ('open', 'resolve', 'remind', 'test')),
    combined   SMALLINT NOT NULL CHECK (combined IN (0, 1)),
    subject    TEXT    NOT NULL,
    text       TEXT    NOT NULL,
    state      TEXT COLLATE "C"    NOT NULL CHECK (state IN ('pending', 'sending', 'sent', 'dead', 'superseded')),
    attempts   BIGINT NOT NULL,
    owner      TEXT COLLATE "C"    NOT NULL,
    created_at BIGINT NOT NULL,
    next_at    BIGINT NOT NULL,
    ended_at   BIGINT,
    receipt    TEXT    NOT NULL,
    error      TEXT    NOT NULL
);

CREATE INDEX notices_owed ON notices (channel, next_at, id) WHERE state IN ('pending', 'sending');
CREATE INDEX notices_incident ON notices (incident, channel, id);
CREATE INDEX notices_channel ON notices (channel, id);

CREATE TABLE events (
    id      TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    kind    TEXT COLLATE "C"    NOT NULL,
    subject TEXT    NOT NULL,
    text    TEXT    NOT NULL,
    made_by TEXT    NOT NULL,
    at      BIGINT NOT NULL
);

CREATE INDEX events_at ON events (at);
