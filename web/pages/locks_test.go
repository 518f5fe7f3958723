package pages_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

// TestRun_Locks: a run whose job waits for a lock says for which, and who has it.
func TestRun_Locks(t *testing.T) {
	t.Parallel()
	w := usualWorld("dump-all", "text")
	w.answers["/locks"] = api.Locks{Locks: []api.Lock{{
		Name: "database/main", Limit: 1, Holders: []api.LockOwner{{LockHolder: api.LockHolder{Run: goodRun, Workflow: "daily", Job: "backup", Node: "db-1", AcquiredAt: ago(2 * time.Minute)}}},
		Waiters: []api.LockWaiter{{Run: failedRun, Job: "vacuum", Since: ago(time.Minute)}, {Run: runningRun, Job: "check", Since: ago(time.Second)}},
	}}}
	body := page(t, w, "/runs/"+runningRun)
	checkHTML(t, "locks", body)
	says(t, body, "<b>check</b> waits behind 1 other for the lock <b>database/main</b>", `<a href="/runs/`+goodRun+`#job-backup">daily.backup</a> on db-1 has held since`)
	saysNot(t, body, "vacuum")
	saysNot(t, page(t, w, "/runs/"+failedRun), "waits behind") // it has ended

	w.answers["/locks"] = api.Locks{Locks: []api.Lock{{
		Name: "gpu", Limit: 1, In: "cache", Others: []api.OtherOwner{{Name: hostileName}},
		Holders: []api.LockOwner{{LockHolder: api.LockHolder{Run: runningRun, Workflow: "daily", Job: "check", Node: "db-1", AcquiredAt: ago(time.Minute)}, Waits: true}},
		Waiters: []api.LockWaiter{{Run: runningRun, Job: "later", Since: ago(time.Second)}},
	}}}
	body = page(t, w, "/runs/"+runningRun)
	checkHTML(t, "locks in a database", body)
	says(t, body, "<b>check</b> waits for the lock <b>gpu</b>, which ", " outside of upkeep holds.", "<b>later</b> waits behind 1 other for the lock <b>gpu</b>")
}

// TestSystem_Locks shows who holds named locks, and who waits for them.
func TestSystem_Locks(t *testing.T) {
	t.Parallel()
	held := api.LockOwner{LockHolder: api.LockHolder{Lock: "database/main", Run: goodRun, Workflow: "daily", Job: "backup", Node: "db-1", AcquiredAt: ago(2 * time.Minute)}}
	waits := func(job string, since time.Duration) api.LockWaiter {
		return api.LockWaiter{Run: failedRun, Workflow: "weekly", Job: job, Node: "db-2", Since: ago(since)}
	}
	w := usualDesk("offsite", "text")
	w.answers["/locks"] = api.Locks{Locks: []api.Lock{
		{Name: "a-free-one", Limit: 1, In: "redis"},
		{Name: "a-held-one", Limit: 3, Holders: []api.LockOwner{held}},
		{Name: "all-free", Limit: 2},
		{Name: "database/main", Limit: 1, Holders: []api.LockOwner{held}, Waiters: []api.LockWaiter{waits("vacuum", time.Minute), waits("reindex", 30*time.Second)}},
	}}
	body := page(t, w, "/system")
	checkHTML(t, "locks", body)
	table := between(body, `<h2 id="locks">`, "</section>")
	says(t, table, "also in redis, for other tools", "1 of 3 held", "all 2 free", `<a href="/runs/`+goodRun+`#job-backup">daily.backup</a>`, "on db-1, <time", "weekly.vacuum")
	for _, order := range [][2]string{{"database/main", "a-held-one"}, {"a-held-one", "a-free-one"}, {"weekly.vacuum", "weekly.reindex"}} {
		if strings.Index(table, order[0]) > strings.Index(table, order[1]) {
			t.Errorf("%s stands before %s", order[1], order[0])
		}
	}
	says(t, body, `href="#locks"`)

	saysNot(t, page(t, usualDesk("offsite", "text"), "/system"), `id="locks"`, `href="#locks"`) // nobody knows any lock

	many := api.Lock{Name: hostileName, Limit: 1, Holders: []api.LockOwner{held}}
	for i := range 200 {
		many.Waiters = append(many.Waiters, waits(fmt.Sprintf("job-%d", i), time.Minute))
	}
	list := []api.Lock{many}
	for i := range 500 {
		list = append(list, api.Lock{Name: fmt.Sprintf("lock-%d", i), Limit: 1})
	}
	w.answers["/locks"] = api.Locks{Locks: list}
	body = page(t, w, "/system")
	checkHTML(t, "many locks", body)
	says(t, body, "and 195 more", "And 461 more locks.")
	if len(body) > mostWeight {
		t.Errorf("the page weighs %d bytes", len(body))
	}
}

// TestSystem_LocksInDatabase shows who else has locks that a database keeps, and
// that nothing is free of which nobody knows.
func TestSystem_LocksInDatabase(t *testing.T) {
	t.Parallel()
	pending := api.LockOwner{LockHolder: api.LockHolder{Run: goodRun, Workflow: "daily", Job: "train", Node: "db-1", AcquiredAt: ago(2 * time.Minute)}, Waits: true}
	row := func(l api.Lock) string {
		w := usualDesk("offsite", "text")
		l.Limit, l.In = 1, "cache"
		w.answers["/locks"] = api.Locks{Locks: []api.Lock{l}}
		body := page(t, w, "/system")
		checkHTML(t, l.Name, body)
		return between(body, `<h2 id="locks">`, "</section>")
	}
	table := row(api.Lock{Name: "gpu", Holders: []api.LockOwner{pending}, Others: []api.OtherOwner{{Name: "train.sh", ExpiresAt: new(ago(-time.Minute))}}})
	says(t, table, "held</span>", "train.sh <span", "outside of upkeep, until <time", "unless it renews", "on db-1, in cache, <time")
	if waiting := strings.Index(table, `data-label="Waiting"`); strings.Index(table, "daily.train") < waiting {
		t.Errorf("the job that waits in the database is not among those that wait:\n%s", table)
	}
	says(t, row(api.Lock{Name: "gpu", Others: []api.OtherOwner{{}}}), "another tool <span", "outside of upkeep, without an end")
	table = row(api.Lock{Name: "gpu", Unknown: "no answer for 2s"})
	says(t, table, "unknown</span>", "who has it there is not known: no answer for 2s")
	saysNot(t, table, "free</span>")
}
