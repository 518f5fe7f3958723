package ledger_test

import (
	"testing"

	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	ledgertest.Exercise(t, ledgertest.SQLite)
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	ledgertest.Exercise(t, ledgertest.Postgres)
}
