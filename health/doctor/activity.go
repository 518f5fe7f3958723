package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// Session is a session of a database server, without its statement.
type Session struct {
	PID                                              int64
	User, Database, Application, Client, State, Wait string
	StateSeconds, TransactionSeconds                 float64
	// BlockedBy are the sessions whose locks it waits for.
	BlockedBy []int64
}

// Activity is what goes on in a database server.
type Activity struct {
	Name     string
	ByState  map[string]int
	Sessions []Session
	Error    string `json:",omitempty"`
}

// Server is a database server that can be asked for its sessions.
type Server struct {
	Name string
	// Ask returns the sessions and the secrets that were seen on the way, also
	// beside an error.
	Ask func(ctx context.Context) ([]Session, []string, error)
}

// serverPatience is how long one server may take.
const serverPatience = 8 * time.Second

// Sessions returns the step that looks at what goes on in database servers: who
// is there, who waits for whose locks.
func Sessions(list []Server, secrets *Secrets) Step {
	return Step{Name: "activity", Title: "sessions and locks of databases", Within: serverPatience + time.Second, Look: func(ctx context.Context) (Found, error) {
		all, errs := each(ctx, serverPatience, list, func(ctx context.Context, s Server) ([]Session, error) {
			found, seen, err := s.Ask(ctx)
			secrets.Add(seen...)
			return found, err
		})
		f := Found{}
		views, total, waiting := []Activity{}, 0, 0
		for i, sessions := range all {
			a := Activity{Name: list[i].Name, ByState: map[string]int{}, Sessions: sessions}
			if errs[i] != nil {
				a.Error = line(errs[i].Error())
				f.Unseen = append(f.Unseen, Unseen{What: "the sessions of " + a.Name, Why: a.Error, Grave: true})
			}
			for _, s := range sessions {
				a.ByState[orUnknown(s.State)]++
				total++
				if len(s.BlockedBy) > 0 {
					waiting++
				}
				if len(s.BlockedBy) > 0 || s.TransactionSeconds > 0 {
					f.Lines = append(f.Lines, a.Name+": "+s.line())
				}
			}
			f.Findings = append(f.Findings, a.judge()...)
			views = append(views, a)
		}
		if len(list) == 0 {
			return Found{Facts: views, Summary: "no PostgreSQL is configured"}, nil
		}
		f.Facts, f.Summary = views, fmt.Sprintf("%d sessions on %d servers, %d wait for locks", total, len(list), waiting)
		return f, nil
	}}
}

func orUnknown(state string) string {
	if state == "" {
		return "hidden"
	}
	return state
}

func (s Session) line() string {
	text := fmt.Sprintf("process %d of %s (%s) in %s: %s for %s, transaction for %s", s.PID, s.User, s.Application, s.Database, orUnknown(s.State), ago(span(s.StateSeconds)), ago(span(s.TransactionSeconds)))
	if s.Wait != "" {
		text += ", waits for " + s.Wait
	}
	if len(s.BlockedBy) > 0 {
		text += fmt.Sprintf(", blocked by %v", s.BlockedBy)
	}
	return text
}

// span is so many seconds.
func span(seconds float64) time.Duration {
	const most = 1e9 // thirty years
	return time.Duration(min(max(seconds, 0), most) * float64(time.Second))
}

// judge says what is wrong with what goes on.
func (a Activity) judge() []Finding {
	const longWait, longIdle = 30, 300
	known := map[int64]Session{}
	for _, s := range a.Sessions {
		known[s.PID] = s
	}
	var out []Finding
	blocked := map[int64]int{}
	for _, s := range a.Sessions {
		if s.StateSeconds < longWait {
			continue
		}
		for _, by := range s.BlockedBy {
			if len(known[by].BlockedBy) == 0 { // it holds up the others and waits for nobody
				blocked[by]++
			}
		}
	}
	for _, s := range a.Sessions {
		switch n := blocked[s.PID]; {
		case n > 0:
			out = append(out, Finding{
				ID: fmt.Sprintf("blocking:%s", jobs.NameFrom(a.Name)), Severity: jobs.Critical, Text: fmt.Sprintf("%s: %d sessions wait for locks of process %d of %s (%s), %s for %s", a.Name, n, s.PID, s.User, s.Application, orUnknown(s.State), ago(span(s.StateSeconds))),
				Means: "what they do for users stands still until it ends", Next: fmt.Sprintf("psql %s -c 'SELECT pg_terminate_backend(%d)'", quoted(s.Database), s.PID),
			})
		case s.State == "idle in transaction" && s.StateSeconds > longIdle:
			out = append(out, Finding{
				ID: fmt.Sprintf("idle:%s", jobs.NameFrom(a.Name)), Severity: jobs.Warning, Text: fmt.Sprintf("%s: process %d of %s (%s) is idle in a transaction for %s", a.Name, s.PID, s.User, s.Application, ago(span(s.StateSeconds))),
				Means: "it keeps its locks, and dead rows cannot be cleaned up", Next: fmt.Sprintf("psql %s -c 'SELECT pg_terminate_backend(%d)'", quoted(s.Database), s.PID),
			})
		}
	}
	return out
}
