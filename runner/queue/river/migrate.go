package river

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// migrationLock is the key of the advisory lock under which one process at a
// time brings River's tables up to date: "upkeeprv" in ASCII.
const migrationLock = 0x75706b6565707276

// migrate brings River's tables in schema up to date. Tables that a newer River
// made are left as they are.
func migrate(ctx context.Context, pool *pgxpool.Pool, schema string, log *slog.Logger) error {
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: schema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("prepare the tables of the queue: %w", err)
	}
	if done, err := current(ctx, migrator); err != nil || done {
		return err
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to set up the tables of the queue: %w", err)
	}
	// Closing the session for good is what surely frees its lock.
	session := conn.Hijack()
	defer func() { _ = session.Close(context.WithoutCancel(ctx)) }()
	for _, statement := range []string{
		"SET lock_timeout = 0",
		fmt.Sprintf("SELECT pg_advisory_lock(%d)", migrationLock),
	} {
		if _, err := session.Exec(ctx, statement); err != nil {
			return fmt.Errorf("wait for another process that sets up the queue: %w", err)
		}
	}
	if done, err := current(ctx, migrator); err != nil || done {
		return err
	}
	result, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	if err != nil {
		return fmt.Errorf("set up the tables of the queue: %w", err)
	}
	log.InfoContext(ctx, "the tables of the queue are up to date", "schema", schema, "migrations", len(result.Versions))
	return nil
}

// current tells whether all migrations that this River knows are applied.
func current[T any](ctx context.Context, m *rivermigrate.Migrator[T]) (bool, error) {
	result, err := m.Validate(ctx, nil)
	if err != nil {
		return false, fmt.Errorf("look at the tables of the queue: %w", err)
	}
	return result.OK, nil
}
