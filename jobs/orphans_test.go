package jobs_test

import (
	"testing"

	"github.com/ghosteam/upkeep/jobs"
)

// What it does as process 1 is proved beside child processes.
func TestReapOrphans_Stops(t *testing.T) {
	t.Parallel()
	stop := jobs.ReapOrphans(nil)
	stop()
	stop()
}
