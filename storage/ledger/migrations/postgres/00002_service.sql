-- +goose Up

ALTER TABLE runs ADD COLUMN overlap     TEXT    NOT NULL DEFAULT 'allow' CHECK (overlap IN ('skip', 'queue', 'allow'));
ALTER TABLE runs ADD COLUMN approval    SMALLINT NOT NULL DEFAULT 0 CHECK (approval IN (0, 1));
ALTER TABLE runs ADD COLUMN approved_by TEXT    NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN alert       SMALLINT NOT NULL DEFAULT 0 CHECK (alert IN (0, 1));
ALTER TABLE runs ADD COLUMN slots       BIGINT NOT NULL DEFAULT 1 CHECK (slots > 0);
ALTER TABLE runs ADD COLUMN last_slot   BIGINT;
-- What the outputs of its attempts take, as of the run's last end.
ALTER TABLE runs ADD COLUMN bytes       BIGINT NOT NULL DEFAULT 0;

CREATE INDEX runs_spec ON runs (spec);
CREATE INDEX runs_folded ON runs (workflow, last_slot, slot) WHERE last_slot IS NOT NULL;
CREATE INDEX runs_open_workflow ON runs (workflow, host, id) WHERE state IN ('queued', 'running');
CREATE INDEX runs_whole ON runs (workflow, finished_at, id) WHERE state IN ('succeeded', 'warned') AND dry_run = 0 AND jobs = '';
CREATE INDEX runs_bytes ON runs (workflow, id, bytes) WHERE bytes > 0;

UPDATE runs SET bytes = (SELECT SUM(octet_length(o.head) + octet_length(o.tail)) FROM outputs o WHERE o.run = runs.id)
    WHERE id IN (SELECT run FROM outputs);

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
CREATE INDEX incidents_fingerprint ON incidents (fingerprint, state, id);
CREATE INDEX incidents_state ON incidents (state, id);
CREATE INDEX incidents_resolved ON incidents (resolved_at) WHERE state = 'resolved';

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
CREATE INDEX notices_sending ON notices (channel, owner) WHERE state = 'sending';
-- An incident owes a channel one notice of its opening and one of its end, ever.
CREATE UNIQUE INDEX notices_incident ON notices (incident, channel, action);
CREATE INDEX notices_channel ON notices (channel, state, id);
CREATE INDEX notices_state ON notices (state, id);
CREATE INDEX notices_free ON notices (ended_at) WHERE incident IS NULL AND ended_at IS NOT NULL;

CREATE TABLE events (
    id      TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    kind    TEXT COLLATE "C"    NOT NULL,
    subject TEXT    NOT NULL,
    text    TEXT    NOT NULL,
    made_by TEXT    NOT NULL,
    at      BIGINT NOT NULL
);

CREATE INDEX events_at ON events (at, id);
CREATE INDEX events_kind ON events (kind, at, id);
