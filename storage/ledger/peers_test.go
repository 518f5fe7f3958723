package ledger_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// TestPeers: who looks for dead nodes learns who is there, with what they say of
// themselves, and nobody is asked again.
func TestPeers(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	join := func(name string) *ledger.Ledger {
		l := ledgertest.Open(t, dsn, func(o *ledger.Options) { o.Node, o.Member = name, true })
		if err := l.Register(t.Context()); err != nil {
			t.Fatal(err)
		}
		return l
	}
	a, b := join("a"), join("b")
	if list, at := a.Peers(); len(list) != 0 || !at.IsZero() {
		t.Errorf("before it looked it knows %v since %s", list, at)
	}
	if err := b.Announce(t.Context(), ledger.NodeFacts{Config: "one", Draining: true}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := a.Abandoned(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	list, at := a.Peers()
	if len(list) != 2 || at.Before(began) {
		t.Fatalf("it knows %v since %s", list, at)
	}
	if n := list[1]; n.Name != "b" || !n.Alive || !n.Member || !n.Facts.Draining || n.Facts.Config != "one" {
		t.Errorf("it knows %+v", n)
	}
	asked := a.Recorded(func() { list, _ = a.Peers() })
	if len(asked) != 0 || len(list) != 2 {
		t.Errorf("it asked %v", asked)
	}
}

// TestCursorsOf finds those of few workflows by name, those of many among all.
func TestCursorsOf(t *testing.T) {
	t.Parallel()
	for name, dsn := range dialects() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := ledgertest.Open(t, dsn(t), nil)
			through := ledgertest.Midnight()
			for _, key := range []runner.CalendarKey{{Workflow: "a"}, {Workflow: "b"}, {Workflow: "c"}, {Workflow: "a", Host: "db-1"}} {
				if _, err := l.Decide(t.Context(), runner.Decided{Cursor: runner.Cursor{CalendarKey: key, Schedule: "every 1m", Through: through}}); err != nil {
					t.Fatal(err)
				}
			}
			many := []string{"b", "c"}
			for i := range 1500 {
				many = append(many, fmt.Sprintf("w%d", i))
			}
			for _, tt := range []struct{ ask, want []string }{
				{nil, nil}, {[]string{"a"}, []string{"a"}}, {[]string{"c", "never", "a"}, []string{"a", "c"}}, {[]string{"never"}, nil}, {many, []string{"b", "c"}},
			} {
				var list []runner.Cursor
				asked := l.Recorded(func() {
					var err error
					if list, err = l.CursorsOf(t.Context(), tt.ask); err != nil {
						t.Fatal(err)
					}
				})
				var got []string
				for _, c := range list {
					if got = append(got, c.Workflow); c.Host != "" || !c.Through.Equal(through) || c.Schedule != "every 1m" {
						t.Errorf("%+v", c)
					}
				}
				if !slices.Equal(got, tt.want) || len(asked) > 1 {
					t.Errorf("of %d names: %v by %d queries, want %v", len(tt.ask), got, len(asked), tt.want)
				}
			}
		})
	}
}
