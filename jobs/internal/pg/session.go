package pg

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

const (
	// longestApplication is what a server keeps of the name of an application,
	// in bytes (NAMEDATALEN - 1).
	longestApplication = 63
	// endTime bounds how long sessions that are to end may take, and endPoll
	// is how often is looked.
	endTime, endPoll = 15 * time.Second, 100 * time.Millisecond
)

// Application is the name of the sessions of a kind in a run, as long as a
// server keeps it.
func Application(kind, runID string) string {
	name := kind + runID
	return name[:min(len(name), longestApplication)]
}

// Set sets those settings of the session that the version of the server knows.
func (c *Conn) Set(ctx context.Context, values map[string]string) error {
	var names, texts []string
	for name, value := range values {
		names, texts = append(names, name), append(texts, value)
	}
	_, err := Texts(ctx, c, `SELECT set_config(s.name, x.value, false)
		FROM unnest($1::text[], $2::text[]) AS x (name, value) JOIN pg_settings s USING (name)`, names, texts)
	if err != nil {
		return fmt.Errorf("prepare the session: %w", err)
	}
	return nil
}

// Milliseconds writes a timeout as a value of a setting, at least 1, because 0
// would turn it off.
func Milliseconds(d time.Duration) string { return strconv.FormatInt(max(1, d.Milliseconds()), 10) }

// Abandoned is what a query of the rows `a` of pg_stat_activity goes on with to
// select the sessions that a dead run left in the database: the other ones of
// this user whose applications are called so. The kind is a constant of ours.
// Whoever asks must have made sure that no living run has such sessions.
func Abandoned(kind string) string {
	return ` FROM pg_stat_activity a WHERE a.datname = current_database() AND a.usename = current_user
		AND left(a.application_name, length('` + kind + `')) = '` + kind + `' AND a.pid <> pg_backend_pid()`
}

// EndAbandoned ends those sessions and returns when they are gone.
func (c *Conn) EndAbandoned(ctx context.Context, kind string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, endTime, errors.New("a session that a dead run left does not end"))
	defer cancel()
	for {
		left, err := Texts(ctx, c, "SELECT pg_terminate_backend(a.pid)::text"+Abandoned(kind))
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil || len(left) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(endPoll):
		}
	}
}
