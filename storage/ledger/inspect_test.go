package ledger_test

import (
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
	damage(t, path)
	r, err := ledger.OpenReader(t.Context(), ledger.Options{DSN: secret.New("sqlite:" + path)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	found, err := r.Inspect(t.Context())
	if err == nil && len(found.Damage) == 0 {
		t.Error("the damage is not seen")
	}
}

// damage overwrites the end of a file, which holds indexes and tables, and
// leaves its beginning alone.
func damage(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	junk := make([]byte, info.Size()/2)
	for i := range junk {
		junk[i] = 0xa5
	}
	if _, err := f.WriteAt(junk, info.Size()-int64(len(junk))); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
