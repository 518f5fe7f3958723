package pgreview

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// Question is a statement whose plan is asked for.
type Question struct {
	// SQL is one statement; it may end in a semicolon.
	SQL string
	// Analyze runs the statement to measure the plan, in a transaction that can
	// only read and is rolled back.
	Analyze bool
	// Timeout bounds the statement; 0 leaves it to the server.
	Timeout time.Duration
}

// explainLock is how long explaining may wait for a lock.
const explainLock = 5 * time.Second

// The codes of errors that steer Explain.
const (
	codeSyntax      = "42601"
	codeReadOnly    = "25006"
	codeNoParameter = "42P02"
)

// beginning is the first word of a statement behind comments.
var beginning = regexp.MustCompile(`(?is)^(?:\s+|--[^\n]*\n|/\*.*?\*/)*([a-z]+)`)

// Explain returns the plan of a statement. It refuses several statements at
// once, and to run one that would change anything, with a *jobs.RefusedError;
// errors carry hints. What a function that the statement calls does outside of
// the database cannot be rolled back, which is why only Analyze runs it.
func Explain(ctx context.Context, db jobs.Database, q Question) (_ Plan, err error) {
	if m := beginning.FindStringSubmatch(q.SQL); m != nil && strings.EqualFold(m[1], "explain") {
		return Plan{}, jobs.WithHint(errors.New("the statement begins with EXPLAIN, which is added here"), "give the statement alone")
	}
	if strings.TrimSpace(q.SQL) == "" {
		return Plan{}, errors.New("there is no statement")
	}
	conn, err := connect(ctx, db, "upkeep db explain")
	if err != nil {
		return Plan{}, err
	}
	defer func() { err = errors.Join(err, conn.Hangup(ctx)) }()
	text, err := explained(ctx, conn, q)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return Plan{}, fmt.Errorf("explain: %w", cause)
		}
		return Plan{}, advise(err, conn.Server, q)
	}
	p, err := ParsePlan(text)
	if err != nil {
		return Plan{}, err
	}
	p.Database, p.Version, p.SQL, p.Analyzed, p.At = db.Name, conn.Server.Version, strings.TrimSpace(q.SQL), q.Analyze, time.Now().UTC()
	return p, nil
}

// explained asks for the plan as JSON. A statement with parameters has a
// generic one since version 16.
func explained(ctx context.Context, conn *pg.Conn, q Question) (text []byte, err error) {
	options := []string{"FORMAT JSON"}
	if q.Analyze {
		options = append(options, "ANALYZE", "BUFFERS")
	}
	if conn.Server.Number >= 120000 {
		options = append(options, "SETTINGS")
	}
	ask := func(options []string) error {
		return conn.ReadOnly(ctx, pg.Reading{Statement: q.Timeout, Lock: explainLock}, func(ctx context.Context) error {
			text, err = conn.QueryOne(ctx, "EXPLAIN ("+strings.Join(options, ", ")+") "+q.SQL)
			return err
		})
	}
	err = ask(options)
	if pg.Code(err) == codeNoParameter && conn.Server.Number >= 160000 && !q.Analyze {
		err = ask(append(options, "GENERIC_PLAN"))
	}
	return text, err
}

// advise makes an error of the server one of a person's statement.
func advise(err error, server pg.Server, q Question) error {
	why := fmt.Errorf("explain: %w", err)
	switch pg.Code(err) {
	case codeReadOnly:
		return jobs.WithHint(&jobs.RefusedError{Rail: "read-only", Why: "the statement would change something: " + err.Error()},
			"explain it without --analyze, which does not run it")
	case codeSyntax:
		if strings.Contains(err.Error(), "multiple commands") {
			return jobs.WithHint(&jobs.RefusedError{Rail: "one statement", Why: "there are several statements"}, "explain one at a time")
		}
	case codeNoParameter:
		hint := "put a value in the place of $1"
		if server.Number < 160000 {
			hint += ", or use PostgreSQL 16, which has plans for statements with parameters"
		}
		return jobs.WithHint(why, hint)
	case pg.CodeCanceled:
		return jobs.WithHint(fmt.Errorf("explain: the statement took longer than %s: %w", q.Timeout, err), "allow it more time with --timeout, or leave out --analyze")
	case pg.CodeLocked:
		return jobs.WithHint(why, "somebody changes the table; try again")
	}
	return pg.Advise(why)
}
