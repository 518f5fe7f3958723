-- +goose Up

CREATE TABLE remedies (
    run         TEXT    NOT NULL PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    workflow    TEXT    NOT NULL,
    check_name  TEXT    NOT NULL,
    health      TEXT    NOT NULL,
    report      TEXT    NOT NULL,
    failing     TEXT    NOT NULL,
    since       INTEGER,
    begun_at    INTEGER NOT NULL,
    outcome     TEXT    NOT NULL CHECK (outcome IN ('', 'fixed', 'not_fixed', 'worse', 'observed', 'dropped')),
    why         TEXT    NOT NULL,
    decided_at  INTEGER,
    relapsed_at INTEGER,
    disabled    INTEGER NOT NULL CHECK (disabled IN (0, 1))
) STRICT;

CREATE INDEX remedies_workflow ON remedies (workflow, run);
