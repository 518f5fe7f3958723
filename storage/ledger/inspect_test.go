package ledger_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

func TestReader_Inspect(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "upkeep.db")
	for name, dsn := range map[string]secret.String{"sqlite": secret.New("sqlite:" + path), "postgres": ledgertest.Postgres(t)} {
		l, err := ledger.Open(t.Context(), ledger.Options{DSN: dsn})
		if err != nil {
			t.Fatal(err)
		}
		found, err := l.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if found.Dialect != name || found.Bytes <= 0 || len(found.Damage) > 0 || time.Since(found.Now).Abs() > time.Minute {
			t.Errorf("%s: %+v", name, found)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	seen := 0
	for at := len(whole) - page; at > page; at -= page {
		broken := bytes.Clone(whole)
		copy(broken[at:], bytes.Repeat([]byte{0xa5}, page))
		r, err := ledger.OpenReader(t.Context(), ledger.Options{DSN: dsnOf(t, broken)})
		if err != nil {
			continue // the page is one that opening reads
		}
		if found, err := r.Inspect(t.Context()); err != nil || len(found.Damage) > 0 {
			seen++ // a page that is in no use may hold anything
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if seen < 3 {
		t.Errorf("the damage was seen in %d ledgers that could be opened", seen)
	}
}

// dsnOf writes a ledger to a file of its own.
func dsnOf(t *testing.T, content []byte) secret.String {
	t.Helper()
	path := filepath.Join(t.TempDir(), "upkeep.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return secret.New("sqlite:" + path)
}
