-- +goose Up

-- Which nodes may execute a run: '' all, else node:NAME or label:NAME. One with
-- a host is for that node.
ALTER TABLE runs ADD COLUMN target   TEXT COLLATE "C" NOT NULL DEFAULT '';
-- The latest instant at which a run may begin.
ALTER TABLE runs ADD COLUMN start_by BIGINT;

CREATE INDEX runs_start_by ON runs (start_by, id) WHERE state = 'queued' AND start_by IS NOT NULL;
