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
	codeProtocol    = "08P01" // what a statement with parameters gets without their values
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
		return Plan{}, advise(err, q)
	}
	p, err := ParsePlan(text)
	if err != nil {
		return Plan{}, err
	}
	p.Database, p.Version, p.SQL, p.Analyzed, p.At = db.Name, conn.Server.Version, strings.TrimSpace(q.SQL), q.Analyze, time.Now().UTC()
	return p, nil
}

// generic is the first version that has plans for any values of parameters.
const generic = 120000

// explained asks for the plan as JSON.
func explained(ctx context.Context, conn *pg.Conn, q Question) (text []byte, err error) {
	options := []string{"FORMAT JSON"}
	if q.Analyze {
		options = append(options, "ANALYZE", "BUFFERS")
	}
	if conn.Server.Number >= 120000 {
		options = append(options, "SETTINGS")
	}
	command := "EXPLAIN (" + strings.Join(options, ", ") + ") "
	reading := pg.Reading{Statement: q.Timeout, Lock: explainLock}
	err = conn.ReadOnly(ctx, reading, func(ctx context.Context) error {
		text, err = conn.QueryOne(ctx, command+q.SQL)
		return err
	})
	if lacksParameters(err) && !q.Analyze && conn.Server.Number >= generic {
		err = conn.ReadOnly(ctx, reading, func(ctx context.Context) error {
			text, err = explainedGenerically(ctx, conn, command, q.SQL)
			return err
		})
	}
	return text, err
}

func lacksParameters(err error) bool {
	code := pg.Code(err)
	return code == codeNoParameter || code == codeProtocol
}

// explainedGenerically asks for the plan that serves any values of the
// statement's parameters.
func explainedGenerically(ctx context.Context, conn *pg.Conn, command, sql string) (text []byte, err error) {
	const name = "upkeep_explain"
	if err := conn.ExecOne(ctx, "PREPARE "+name+" AS "+sql); err != nil {
		return nil, err
	}
	defer func() { // a prepared statement outlives its transaction
		if failed := conn.ExecOne(context.WithoutCancel(ctx), "DEALLOCATE "+name); err == nil {
			err = failed
		}
	}()
	count, err := pg.Rows[struct{ N int64 }](ctx, conn, "SELECT coalesce(array_length(parameter_types, 1), 0)::int8 FROM pg_prepared_statements WHERE name = $1", name)
	if err != nil || len(count) == 0 {
		return nil, errors.Join(errors.New("prepare the statement"), err)
	}
	if err := conn.ExecOne(ctx, "SET LOCAL plan_cache_mode = force_generic_plan"); err != nil {
		return nil, err
	}
	nulls := strings.TrimSuffix(strings.Repeat("NULL, ", int(count[0].N)), ", ")
	return conn.QueryOne(ctx, command+"EXECUTE "+name+" ("+nulls+")")
}

// advise makes an error of the server one of a person's statement.
func advise(err error, q Question) error {
	why := fmt.Errorf("explain: %w", err)
	switch pg.Code(err) {
	case codeReadOnly:
		return jobs.WithHint(&jobs.RefusedError{Rail: "read-only", Why: "the statement would change something: " + err.Error()},
			"explain it without --analyze, which does not run it")
	case codeSyntax:
		if strings.Contains(err.Error(), "multiple commands") {
			return jobs.WithHint(&jobs.RefusedError{Rail: "one statement", Why: "there are several statements"}, "explain one at a time")
		}
	case codeNoParameter, codeProtocol:
		return jobs.WithHint(errors.New("explain: the statement has parameters, which need values"), "put values in their places, or leave out --analyze on PostgreSQL 12 and later")
	case pg.CodeCanceled:
		return jobs.WithHint(fmt.Errorf("explain: the statement took longer than %s: %w", q.Timeout, err), "allow it more time with --timeout, or leave out --analyze")
	case pg.CodeLocked:
		return jobs.WithHint(why, "somebody changes the table; try again")
	}
	return pg.Advise(why)
}
