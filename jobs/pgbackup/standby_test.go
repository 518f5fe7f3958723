package pgbackup_test

import (
	"testing"

	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

func TestStandby(t *testing.T) {
	t.Parallel()
	name := pgtest.Database(t, awkward...)
	standby := pgtest.NewStandby(t, pgtest.URL(t, name))
	for label, connections := range map[string]int{"custom": 1, "directory": 2} {
		t.Run(label, func(t *testing.T) {
			b := benchOn(t, name)
			b.url, b.options.Jobs = standby.URL, connections
			r, err := b.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_, d := b.one()
			if !d.Databases[0].Server.Standby || len(r.Findings) == 0 || r.Findings[0].ID != "standby:main" {
				t.Errorf("server %+v, findings %v", d.Databases[0].Server, r.Findings)
			}
			for _, table := range d.Databases[0].Tables {
				if table.Dumped == (table.Name == "quick") || table.Dumped != table.Exact {
					t.Errorf("%+v", table)
				}
			}
		})
	}
}
