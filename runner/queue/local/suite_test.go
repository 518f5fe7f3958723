package local_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
	"github.com/ghosteam/upkeep/runner/queue/local"
	"github.com/ghosteam/upkeep/runner/queue/queuetest"
	"github.com/ghosteam/upkeep/storage/ledger"
)

func TestMain(m *testing.M) { os.Exit(queuetest.Main(m, subject())) }

func TestSuite(t *testing.T) {
	t.Parallel()
	queuetest.Exercise(t, subject())
}

// subject is the local queue on an SQLite ledger.
func subject() queuetest.Subject {
	return queuetest.Subject{
		Fresh: func(t *testing.T) string { return filepath.Join(t.TempDir(), "state", "upkeep.db") },
		Open:  open,
		Contents: func(t *testing.T, address string) []byte {
			var all []byte
			for _, name := range []string{address, address + "-wal"} {
				text, err := os.ReadFile(name)
				if err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
				all = append(all, text...)
			}
			return all
		},
	}
}

func open(ctx context.Context, s queuetest.Setting) (*queuetest.Process, error) {
	live := filepath.Join(filepath.Dir(s.Address), "live")
	o := ledger.Options{
		DSN: secret.New("sqlite:" + s.Address), Node: s.Node, Command: "suite", LeaseTTL: s.Lease,
		Exclusive: s.Execute && s.Lease == 0,
		Live: func(key runner.AttemptKey) (runner.Output, bool, error) {
			return executor.ReadLive(live, key)
		},
	}
	l, err := ledger.Open(ctx, o)
	for err != nil {
		// One process executes: this one waits for its turn.
		if _, locked := errors.AsType[*ledger.LockedError](err); !locked {
			return nil, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		l, err = ledger.Open(ctx, o)
	}
	p := &queuetest.Process{Ledger: l, LiveDir: l.LiveDir(), Heartbeat: l.Heartbeat, Close: l.Close}
	if s.Execute {
		if err := l.Register(ctx); err != nil {
			return nil, errors.Join(err, l.Close())
		}
		p.Queue = local.New(local.Options{Backlog: l, Slots: s.Slots, Base: s.Base})
	}
	return p, nil
}
