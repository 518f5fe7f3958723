package service_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/web/api"
)

// One work on artifacts is under way at a time; whoever asked and has gone before
// it began leaves the place to others; nothing begins while new things are held.
func TestBench_OneAtATime(t *testing.T) {
	t.Parallel()
	b := service.NewTestBench()
	waiting, leave := context.WithCancel(t.Context())
	if _, err := b.Prune(waiting, "ana@db-1 (cli)", api.PruneRequest{}); err != nil {
		t.Fatal(err)
	}
	_, err := b.Verify(t.Context(), "ben@db-1 (cli)", api.VerifyRequest{Newest: true})
	if problem, _ := errors.AsType[*api.Problem](err); problem == nil || problem.Code != api.CodeSkipped || !strings.Contains(problem.Detail, "prune, asked for by ana@db-1") {
		t.Errorf("a second work is answered %v", err)
	}
	idle, enough := context.WithCancelCause(t.Context())
	why := errors.New("waited enough")
	enough(why)
	if err := b.Idle(idle); !errors.Is(err, why) {
		t.Errorf("a bench that is taken is idle: %v", err)
	}
	leave()
	if err := b.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
	work, err := b.Verify(t.Context(), "ben@db-1 (cli)", api.VerifyRequest{Newest: true})
	if err != nil || work == nil {
		t.Fatalf("after the first has gone: %v", err)
	}
	for why, code := range map[string]api.Code{"drain": api.CodeUnavailable, "end": api.CodeUnavailable, "space": api.CodeNoSpace} {
		held := service.NewTestBench(why)
		_, err := held.Restore(t.Context(), "ana@db-1 (cli)", api.RestoreRequest{To: "/x"})
		if problem, _ := errors.AsType[*api.Problem](err); problem == nil || problem.Code != code {
			t.Errorf("held for %s: %v", why, err)
		}
		if _, err := held.Prune(t.Context(), "ana@db-1 (cli)", api.PruneRequest{}); (err == nil) != (why == "space") {
			t.Errorf("held for %s, pruning, which makes room, is answered %v", why, err)
		}
	}
}

// What is written to a work is told line by line, however it comes.
func TestBench_Says(t *testing.T) {
	t.Parallel()
	var told []string
	said := service.NewSaying(func(e api.WorkEvent) { told = append(told, e.Kind+" "+e.Text) })
	for _, text := range []string{"on", "e\ntwo\n\nthr", "ee\xff", strings.Repeat("x", 20<<10)} {
		if n, err := said.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
	}
	said.Flush()
	if len(told) != 4 || told[0] != "said one" || told[1] != "said two" || told[2] != "said " || !strings.HasPrefix(told[3], "said three?xxx") {
		t.Errorf("%.60q", told)
	}
}
