package pgindex_test

import (
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

func TestStandby(t *testing.T) {
	t.Parallel()
	b := newBench(t, predictions)
	b.options.Indexes = wide()
	b.url = pgtest.NewStandby(t, b.url).URL
	b.bad("is a standby, where nothing can be built", true)
	if strings.Contains(b.out.String(), "by_model") {
		t.Errorf("output:\n%s", b.out)
	}
}
