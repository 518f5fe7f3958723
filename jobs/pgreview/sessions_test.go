package pgreview_test

import (
	"slices"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/pgreview"
)

// TestSessions: who waits for whose lock is seen, and no statement.
func TestSessions(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	holder, waiter := b.connect(), b.connect()
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "UPDATE t SET id = 2"); err != nil {
		t.Fatal(err)
	}
	waits := make(chan error, 1)
	go func() {
		_, err := waiter.Exec(t.Context(), "UPDATE t SET id = 3")
		waits <- err
	}()
	held, waiting := int64(holder.PgConn().PID()), int64(waiter.PgConn().PID())
	var list []pgreview.Session
	for deadline := time.Now().Add(30 * time.Second); ; {
		if list, err = pgreview.Sessions(t.Context(), jobs.Database{Name: "main", Kind: jobs.Postgres, URL: secret.New(b.url)}); err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(list, func(s pgreview.Session) bool { return s.PID == waiting && slices.Contains(s.BlockedBy, held) })
		if at >= 0 {
			if s := list[at]; s.State != "active" || s.Database == "" || s.Wait == "" || s.StateSeconds < 0 {
				t.Errorf("%+v", s)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody waits: %+v", list)
		}
	}
	at := slices.IndexFunc(list, func(s pgreview.Session) bool { return s.PID == held })
	if at < 0 || list[at].State != "idle in transaction" || len(list[at].BlockedBy) > 0 {
		t.Errorf("the one who holds it: %+v", list)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-waits; err != nil {
		t.Fatal(err)
	}
}
