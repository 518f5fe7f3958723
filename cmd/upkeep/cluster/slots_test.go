package cluster_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// cursor says through which slot a calendar is decided.
type cursor struct {
	workflow, host string
	since, through int64 // microseconds since 1970
}

// checkSlots compares the record with the calendar by arithmetic of its own: the
// slots of an interval are its multiples.
func (c *cluster) checkSlots(t *testing.T) {
	t.Helper()
	type place struct{ workflow, host string }
	rows := map[place]map[int64][]run{}
	every := map[string]time.Duration{}
	for _, w := range calendars() {
		every[w.name] = w.every
	}
	for _, r := range c.database.runs(t, "") {
		if every[r.workflow] == 0 {
			continue // it has no calendar
		}
		at := place{r.workflow, r.host}
		if rows[at] == nil {
			rows[at] = map[int64][]run{}
		}
		for slot := r.slot; slot <= max(r.slot, r.last); slot += every[r.workflow].Microseconds() {
			rows[at][slot] = append(rows[at][slot], r)
		}
	}
	cursors := map[place]cursor{}
	for _, one := range rowsOf(t, c.database, `SELECT workflow, host, since, through FROM upkeep.cursors`,
		func(r pgx.Rows, one *cursor) error { return r.Scan(&one.workflow, &one.host, &one.since, &one.through) }) {
		cursors[place{one.workflow, one.host}] = one
	}
	for _, w := range calendars() {
		hosts := []string{""}
		if w.each {
			hosts = hosts[:0]
			for _, n := range c.nodes {
				hosts = append(hosts, n.name)
			}
		}
		for _, host := range hosts {
			at := place{w.name, host}
			if decided, found := cursors[at]; found {
				c.checkCalendar(t, w, decided, rows[at])
			} else {
				t.Errorf("%s has no calendar on record for host %q", w.name, host)
			}
			delete(rows, at)
		}
	}
	for at, some := range rows {
		t.Errorf("%s has %d slots for host %q, where it should have none", at.workflow, len(some), at.host)
	}
}

// checkCalendar looks that each slot has one row, with an end and its reason.
func (c *cluster) checkCalendar(t *testing.T, w calendar, decided cursor, rows map[int64][]run) {
	t.Helper()
	name := w.name
	if decided.host != "" {
		name += " on " + decided.host
	}
	interval := w.every.Microseconds()
	if late := c.settled.Sub(time.UnixMicro(decided.through)); late > w.every+5*time.Second {
		t.Errorf("%s is decided through %s only, %s before everything had ended", name, time.UnixMicro(decided.through).UTC(), late)
	}
	if late := time.UnixMicro(decided.since).Sub(c.began); late > patience {
		t.Errorf("%s is decided from %s on only", name, late)
	}
	due, states, bad := 0, map[string]int{}, 0
	for at := decided.since/interval*interval + interval; at <= decided.through; at += interval {
		due++
		if len(rows[at]) != 1 {
			if bad++; bad <= 5 {
				broken(t, "%s: the slot %s has %d rows, want 1: %+v", name, time.UnixMicro(at).UTC().Format(time.TimeOnly), len(rows[at]), rows[at])
			}
			continue
		}
		r := rows[at][0]
		states[r.state]++
		if time.UnixMicro(at).Before(c.settled.Add(-5*time.Second)) && !isFinal(r.state) {
			t.Errorf("%s: the slot %s is still %s", name, time.UnixMicro(at).UTC().Format(time.TimeOnly), r.state)
		}
		if isFinal(r.state) && !isDone(r.state) && r.reason == "" {
			t.Errorf("%s: the slot %s is %s without a reason", name, time.UnixMicro(at).UTC().Format(time.TimeOnly), r.state)
		}
	}
	for at, some := range rows {
		if at%interval != 0 || at > decided.through || at <= decided.since/interval*interval {
			t.Errorf("%s: %d rows for %s, which is no slot", name, len(some), time.UnixMicro(at).UTC())
		}
	}
	t.Logf("%s: %d slots, %d of them not with one row; states: %v", name, due, bad, states)
	if states["succeeded"] == 0 {
		t.Errorf("%s never succeeded, which proves too little", name)
	}
}
