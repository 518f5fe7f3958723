-- +goose Up

-- A lock that several may hold has a row per place: the key of the first is the
-- name, as it always was, so that a node of the version before holds one of the
-- places. name is '' in rows that such a node wrote, and stands for the key.
ALTER TABLE locks ADD COLUMN name TEXT COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX locks_name ON locks (name);

-- Who waits for which lock: a job of a run under the epoch that asked. turn is
-- the order, places how many may hold the lock as far as the waiter knows, and
-- passed how often a later one went first.
CREATE TABLE lock_waits (
    run    TEXT COLLATE "C" NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    job    TEXT COLLATE "C" NOT NULL,
    name   TEXT COLLATE "C" NOT NULL,
    epoch  BIGINT           NOT NULL,
    owner  TEXT COLLATE "C" NOT NULL,
    since  BIGINT           NOT NULL,
    turn   BIGINT           NOT NULL,
    places BIGINT           NOT NULL,
    passed BIGINT           NOT NULL DEFAULT 0,
    PRIMARY KEY (run, job, name)
);

CREATE INDEX lock_waits_name ON lock_waits (name, turn);
