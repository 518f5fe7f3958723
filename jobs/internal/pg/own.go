package pg

import (
	"context"
	"fmt"

	"github.com/ghosteam/upkeep/jobs"
)

// RefuseOwn refuses what would shut out or replace the database in which upkeep
// keeps its record of all runs: while that is away nothing can be recorded, and
// what runs is given up. what says it, such as "VACUUM FULL". The database is
// known by the identifier of its server and its number there, so by whatever
// name or way c reached it.
func (c *Conn) RefuseOwn(ctx context.Context, env *jobs.Env, what string) error {
	own := env.OwnDatabase()
	if own == "" {
		return nil
	}
	here, err := Texts(ctx, c, jobs.DatabaseIdentity)
	if err != nil {
		return fmt.Errorf("find out whether this is upkeep's own database: %w", err)
	}
	if len(here) == 1 && here[0] == own {
		return &jobs.RefusedError{Rail: "own database", Why: what + " in the database of upkeep's own ledger would keep upkeep from recording what it does; give the ledger a database of its own"}
	}
	return nil
}
