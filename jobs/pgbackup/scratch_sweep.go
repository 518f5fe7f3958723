package pgbackup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// scratchSettled is how old the scratch database of a dead drill must be before
// it is dropped, when nobody can tell whether its process lives.
const scratchSettled = time.Hour

// candidate is a database whose name says that it is of a drill.
type candidate struct {
	Name     string
	Comment  string
	Sessions int64
	Now      time.Time
}

// candidates lists those databases on a server.
func candidates(ctx context.Context, c *pg.Conn) ([]candidate, error) {
	found, err := pg.Rows[candidate](ctx, c, `SELECT d.datname::text, coalesce(shobj_description(d.oid, 'pg_database'), ''),
			(SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid), clock_timestamp()
		FROM pg_database d WHERE left(d.datname::text, length($1::text)) = $1::text AND NOT d.datistemplate ORDER BY 1`, scratchPrefix)
	if err != nil {
		return nil, pg.Advise(fmt.Errorf("look for scratch databases: %w", err))
	}
	return found, nil
}

// note reads the mark of a candidate.
func (c candidate) note() (scratchNote, bool) {
	text, ours := strings.CutPrefix(c.Comment, scratchMark)
	var n scratchNote
	if !ours || json.Unmarshal([]byte(text), &n) != nil || n.Artifact == "" || n.Made.IsZero() {
		return scratchNote{}, false
	}
	return n, true
}

// sweep drops the scratch databases of dead drills: those that carry our mark,
// are of a process that is dead or older than an hour by the server's clock, are
// not kept, and that nobody is connected to. A database that is in use meanwhile stays, because it is not
// dropped by force. What cannot be dropped is told.
func sweep(ctx context.Context, env *jobs.Env, admin *pg.Conn) ([]jobs.Finding, error) {
	found, err := candidates(ctx, admin)
	if err != nil {
		return nil, err
	}
	var findings []jobs.Finding
	tell := func(id, name, text string) {
		findings = append(findings, jobs.Finding{
			ID: id + ":" + jobs.FindingIDFrom(name), Severity: jobs.Info,
			Text: jobs.OneLine(fmt.Sprintf("database %s on %s: %s", name, admin.Server.Name(), text)),
		})
	}
	for _, c := range found {
		note, ours := c.note()
		switch {
		case !ours:
			tell("scratch-unmarked", c.Name, "it is called like the scratch database of a drill, but does not carry the mark of one, so it stays: drop it by hand if it is of no use")
			continue
		case note.Kept:
			tell("scratch-kept", c.Name, fmt.Sprintf("it was kept by a drill of artifact %s at %s", note.Artifact, note.Made.UTC().Format(time.RFC3339)))
			continue
		case c.Sessions > 0 || c.Now.Sub(note.Made) <= scratchSettled && !artifact.Dead(note.Process):
			continue
		}
		what := fmt.Sprintf("drop the scratch database %s on %s, which a drill of artifact %s left behind at %s",
			c.Name, admin.Server.Name(), note.Artifact, note.Made.UTC().Format(time.RFC3339))
		err := env.Effect(ctx, what, func(ctx context.Context) error { return dropDatabase(ctx, admin, c.Name, false) })
		if ctx.Err() != nil {
			return findings, fmt.Errorf("drop what dead drills left: %w", context.Cause(ctx))
		}
		if err != nil {
			tell("scratch-left", c.Name, errors.Join(errors.New("it was left behind by a drill, and cannot be dropped"), err).Error())
		}
	}
	return findings, nil
}
