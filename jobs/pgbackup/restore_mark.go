package pgbackup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// names are those of databases beside a target.
type names struct {
	// fresh begins the names of those that are being filled, old of those that
	// were put aside.
	fresh, old string
}

const (
	// nameBytes is how long a name may be for PostgreSQL (NAMEDATALEN - 1).
	nameBytes = 63
	// idBytes is the length of what follows fresh.
	idBytes = 10
	// oldTime is what follows old: UTC, and only what needs no quotes.
	oldTime = "20060102t150405z"
	// hashBytes is how much of a hash stands for the end of a long name.
	hashBytes = 8
)

// namesOf derives the names; those of different targets differ.
func namesOf(target string) names {
	const fresh, old = "_upkeep_new_", "_upkeep_old_"
	base := target
	if most := nameBytes - len(old) - len(oldTime); len(base) > most {
		sum := sha256.Sum256([]byte(target))
		base = base[:most-hashBytes-1]
		for !utf8.ValidString(base) {
			base = base[:len(base)-1]
		}
		base += "_" + hex.EncodeToString(sum[:])[:hashBytes]
	}
	return names{fresh: base + fresh, old: base + old}
}

// isFresh tells whether a database may be one of ours that is being filled.
func (n names) isFresh(name string) (id string, ok bool) {
	id, ok = strings.CutPrefix(name, n.fresh)
	return id, ok && len(id) == idBytes && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// oldAt tells whether and when a database was put aside.
func (n names) oldAt(name string) (time.Time, bool) {
	text, ok := strings.CutPrefix(name, n.old)
	if !ok {
		return time.Time{}, false
	}
	at, err := time.Parse(oldTime, text)
	return at, err == nil
}

// markPrefix begins the comment on a database that says that it is ours.
const markPrefix = "upkeep restore "

// mark is what a database says about itself by its comment while it is being
// filled.
type mark struct {
	Target string    `json:"target"`
	ID     string    `json:"id"`
	Since  time.Time `json:"since"`
	// Into tells that it is the target itself, which is not ours, and Comment
	// is its own comment.
	Into    bool    `json:"into,omitempty"`
	Comment *string `json:"comment,omitempty"`
}

// readMark reads a comment; it is not ok when somebody else wrote it.
func readMark(comment *string) (m mark, ok bool) {
	if comment == nil {
		return m, false
	}
	text, ok := strings.CutPrefix(*comment, markPrefix)
	return m, ok && json.Unmarshal([]byte(text), &m) == nil && m.ID != ""
}

func (m mark) statement(database string) statement {
	text, _ := json.Marshal(m) // strings and a time can always be written
	comment := markPrefix + string(text)
	return commentStatement(database, &comment)
}

func commentStatement(database string, comment *string) statement {
	text := "NULL"
	if comment != nil {
		text = literal(*comment)
	}
	return plain("COMMENT ON DATABASE %s IS %s", pg.Name(database), text)
}

// commentOf returns the comment on a database; nil when it has none.
func commentOf(ctx context.Context, c *pg.Conn, database string) (comment *string, err error) {
	err = c.QueryRow(ctx, `SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1`, database).Scan(&comment)
	if err != nil {
		return nil, pg.Advise(fmt.Errorf("read the comment on %s: %w", database, err))
	}
	return comment, nil
}

// leftover is a database that may be what a dead restore left.
type leftover struct {
	name    string
	comment *string
}

// leftovers lists the databases of which the names say that a restore to this
// target made them.
func (p *place) leftovers(ctx context.Context, c *pg.Conn) ([]leftover, error) {
	type row struct {
		Name    string
		Comment *string
	}
	found, err := pg.Rows[row](ctx, c, `SELECT datname::text, shobj_description(oid, 'pg_database') FROM pg_database
		WHERE left(datname::text, length($1)) = $1 ORDER BY datname`, p.names.fresh)
	if err != nil {
		return nil, pg.Advise(fmt.Errorf("look for what earlier restores left: %w", err))
	}
	var out []leftover
	for _, f := range found {
		if _, ok := p.names.isFresh(f.Name); ok {
			out = append(out, leftover{name: f.Name, comment: f.Comment})
		}
	}
	return out, nil
}

// remove drops a leftover that is provably ours. The lock on the target is
// held, so that whoever made it is dead. Without a mark, which is set right
// after it was made, it is dropped only when it is empty.
func (p *place) remove(ctx context.Context, c *pg.Conn, r *restore, l leftover) error {
	id, _ := p.names.isFresh(l.name)
	m, marked := readMark(l.comment)
	ours := marked && m.ID == id && m.Target == p.name
	if l.comment == nil {
		empty, err := p.isEmpty(ctx, l.name)
		if err != nil {
			r.warn("leftovers", "the database %s looks like that of an unfinished restore, but cannot be looked into: %v", l.name, err)
			return nil
		}
		ours = empty
	}
	if !ours {
		r.warn("leftovers", "the database %s has the name of an unfinished restore, but nothing proves that it is one: drop it if it is not needed", l.name)
		return nil
	}
	err := p.do(ctx, c, plain("DROP DATABASE IF EXISTS %s", pg.Name(l.name)))
	if pg.Code(err) == codeInUse {
		r.warn("leftovers", "the unfinished database %s of an earlier restore is still in use and stays: the next restore to %s drops it", l.name, p.name)
		return nil
	}
	return err
}

// codeInUse is what a server says of a database with sessions in it.
const codeInUse = "55006"

// isEmpty tells whether there is nothing in a database.
func (p *place) isEmpty(ctx context.Context, name string) (bool, error) {
	c, err := pg.Connect(ctx, p.address.WithDatabase(name), p.application())
	if err != nil {
		return false, err
	}
	found, err := pg.Texts(ctx, c, belongings)
	if hangup := c.Hangup(ctx); err == nil {
		err = hangup
	}
	return err == nil && len(found) == 0, err
}

// dropHint says how to drop a database that was put aside: nothing does it by
// itself.
func dropHint(name string) string {
	return "drop it with: DROP DATABASE " + jobs.OneLine(pg.Name(name))
}
