package pgtest_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

// TestProxy: what is sent goes on until it is cut, stalled or trapped.
func TestProxy(t *testing.T) {
	t.Parallel()
	p := pgtest.NewProxy(t, pgtest.URL(t, ""))
	opened, closed := make(chan int, 5), make(chan int, 5)
	p.Watch(func(n int) { opened <- n }, func(n int) { closed <- n })
	c := pgtest.Connect(t, p.URL)
	if n := <-opened; n != 1 || pgtest.Ask[int32](t, c, "SELECT 1") != 1 {
		t.Errorf("connection %d", n)
	}
	p.Cut()
	if n := <-closed; n != 1 || c.Ping(t.Context()) == nil {
		t.Errorf("connection %d lives", n)
	}
	c = pgtest.Connect(t, p.URL)
	p.Stall()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if c.Ping(ctx) == nil {
		t.Error("the server answered")
	}
	p.Close()
	if _, err := pgx.Connect(t.Context(), p.URL); err == nil {
		t.Error("a connection was made")
	}
}

// TestProxy_Trap: the statement with the text reaches the server only when the
// trap is late, and its answer nobody.
func TestProxy_Trap(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]bool{"early": false, "late": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := pgtest.URL(t, pgtest.Database(t))
			p := pgtest.NewProxy(t, address)
			there := make(chan int, 1)
			p.Trap("TABLE caught", late, func() {
				there <- len(pgtest.Look[string](t, address, "SELECT relname::text FROM pg_class WHERE relname = 'caught'"))
			})
			c := pgtest.Connect(t, p.URL)
			pgtest.Exec(t, c, "CREATE TABLE free (id int)")
			if p.Sprung() {
				t.Error("it was sprung too early")
			}
			if _, err := c.Exec(t.Context(), "CREATE TABLE caught (id int)"); err == nil {
				t.Error("the server answered")
			}
			if !p.Sprung() {
				t.Fatal("it was not sprung")
			}
			if n, want := <-there, map[bool]int{false: 0, true: 1}[late]; n != want {
				t.Errorf("%d tables, want %d", n, want)
			}
		})
	}
}
