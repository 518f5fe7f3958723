-- +goose Up

-- Few incidents are suppressed, and whoever sends notices asks which.
CREATE INDEX incidents_suppressed ON incidents (id) WHERE suppressed <> '';
