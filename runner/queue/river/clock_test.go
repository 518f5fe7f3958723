package river_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// What a node delivers whose clock is ahead of the database's begins at once all
// the same: River writes down when a job is due by that clock.
func TestQueue_ClockAhead(t *testing.T) {
	t.Parallel()
	address, o := database(t), newOffice()
	a := o.newPost(t, address, "a", 1).work()
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.WithoutCancel(t.Context())) })
	exec(t, c, `CREATE FUNCTION ahead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		NEW.scheduled_at := NEW.scheduled_at + INTERVAL '1 hour'; RETURN NEW; END $$`)
	exec(t, c, "CREATE TRIGGER ahead BEFORE INSERT ON upkeep.river_job FOR EACH ROW EXECUTE FUNCTION ahead()")
	a.deliver(o.record("ahead", 3, "")...)
	awaitBegun(t, 3, a)
}
