package pgvacuum

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// window is a part of every day, in minutes since midnight; it may pass
// midnight.
type window struct{ from, to int }

func parseWindow(text string) (window, error) {
	from, to, ok := strings.Cut(text, "-")
	begin, beginErr := parseMinute(from)
	end, endErr := parseMinute(to)
	if !ok || beginErr != nil || endErr != nil || begin == end {
		return window{}, fmt.Errorf("%q is not a part of the day: use HH:MM-HH:MM", text)
	}
	return window{from: begin, to: end}, nil
}

func parseMinute(text string) (int, error) {
	t, err := time.Parse("15:04", strings.TrimSpace(text))
	if err != nil {
		return 0, err
	}
	return t.Hour()*60 + t.Minute(), nil
}

// holds tells whether t, in its own zone, lies in the window.
func (w window) holds(t time.Time) bool {
	minute := t.Hour()*60 + t.Minute()
	if w.from < w.to {
		return minute >= w.from && minute < w.to
	}
	return minute >= w.from || minute < w.to
}

// gains estimates the empty share of the tables in $1 from the widths of their
// columns; 28 bytes are what a row takes beside its columns, with its line
// pointer (postgresql.org/docs/current/storage-page-layout.html). Tables
// without statistics are no rows.
const gains = `SELECT c.oid, (1 - c.reltuples * (28 + w.width) / (c.relpages::float8 * current_setting('block_size')::float8
		* coalesce((SELECT split_part(o, '=', 2)::float8 / 100 FROM unnest(c.reloptions) o WHERE o LIKE 'fillfactor=%'), 1)))::float8
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
		LATERAL (SELECT sum((1 - null_frac) * avg_width) AS width FROM pg_stats s WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND NOT s.inherited) w
	WHERE c.oid = ANY ($1) AND c.relpages > 0 AND c.reltuples >= 0 AND w.width IS NOT NULL`

// rewrites returns the tables that the rails let be rewritten now, with the
// share that they are estimated to shrink by. What the others lack is noted.
func (j *Job) rewrites(ctx context.Context, env *jobs.Env, c *pg.Conn, d *database, tables []table) (map[uint32]float64, error) {
	named := map[uint32]table{}
	var oids []uint32
	for _, t := range tables {
		if t.Kind != "p" && j.rules.full.match(t.Schema, t.Name) && j.rules.chosen(t) {
			named[t.OID] = t
			oids = append(oids, t.OID)
		}
	}
	if len(oids) == 0 {
		return nil, nil
	}
	type gain struct {
		OID   uint32
		Share float64
	}
	estimates, err := pg.Rows[gain](ctx, c, gains, oids)
	if err != nil {
		return nil, pg.Advise(fmt.Errorf("estimate the empty share of tables: %w", err))
	}
	known := map[uint32]float64{}
	for _, e := range estimates {
		known[e.OID] = e.Share
	}
	out := map[uint32]float64{}
	for _, oid := range oids {
		t := named[oid]
		var gain *float64
		if share, ok := known[oid]; ok {
			gain = &share
		}
		if why := j.rail(env, d, t, gain); why != "" {
			d.notes = append(d.notes, fmt.Sprintf("%s is not rewritten: %s", jobs.OneLine(t.label()), why))
			continue
		}
		out[oid] = *gain
	}
	return out, nil
}

// rail says which rail keeps a table from being rewritten now; empty when none
// does. gain is nil when nobody knows it.
func (j *Job) rail(env *jobs.Env, d *database, t table, gain *float64) string {
	f := j.options.Full
	zone := env.Zone
	if zone == nil {
		zone = time.UTC
	}
	if w, err := parseWindow(f.Window); err != nil || !w.holds(time.Now().In(zone)) {
		return fmt.Sprintf("it is not the time for it (full.window %s)", f.Window)
	}
	switch {
	case t.Schema == "pg_catalog":
		return "it is a system catalog, without which nobody can work meanwhile"
	case t.Bytes > f.MaxSize.Bytes():
		return fmt.Sprintf("it takes %s (full.max_size %s)", room(t.Bytes), f.MaxSize)
	case gain == nil:
		return "it has no statistics to estimate the gain from"
	case *gain < f.MinGain.Fraction():
		return fmt.Sprintf("%s of it are estimated to be empty (full.min_gain %s)", percent(*gain), f.MinGain)
	case !d.local:
		return fmt.Sprintf("the server is not on this machine, so its free space is not known (full.volume %s)", f.Volume)
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(f.Volume.String(), &stat); err != nil {
		return fmt.Sprintf("the free space at %s is not known: %s", f.Volume, err)
	}
	if free := int64(stat.Bavail) * stat.Bsize; free < t.Bytes+f.MinFree.Bytes() {
		return fmt.Sprintf("%s are free at %s, a copy takes up to %s (full.min_free %s)", room(free), f.Volume, room(t.Bytes), f.MinFree)
	}
	return ""
}

// local tells whether the server of c runs on this machine: it is reached by a
// unix socket or at an address of this machine's own.
func local(c *pg.Conn) bool {
	remote, ok := c.PgConn().Conn().RemoteAddr().(*net.TCPAddr)
	if !ok || remote.IP.IsLoopback() {
		return true
	}
	own, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(own, func(a net.Addr) bool {
		network, ok := a.(*net.IPNet)
		return ok && network.IP.Equal(remote.IP)
	})
}

// rewrite turns the work into a VACUUM FULL with that gain.
func (w *work) rewrite(gain float64) {
	w.full, w.gain, w.vacuum, w.toast, w.analyze = true, gain, true, false, true
	w.score = max(w.score, gain)
	w.reasons = append(w.reasons, percent(gain)+" estimated to be empty")
}

func percent(share float64) string {
	return unit.Share(float64(int(max(share, 0) * 100))).String()
}

func room(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }
