package seed

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// incidents records the faults of the story. The two that are open stay so: the
// last weekly run failed, and mlflow does not answer.
func (s *story) incidents(ctx context.Context) error {
	weekly := s.last["weekly"]
	at := func(days, hours int) time.Time { return s.now.Add(-time.Duration(days*24+hours) * time.Hour) }
	for i, one := range []incident{
		{fingerprint: "check/api", check: "api", severity: "critical", reason: "critical", title: "api: 503 Service Unavailable", at: at(23, 4), lasted: 17 * time.Minute, told: []string{"pager", "ops"}},
		{fingerprint: "workflow/offsite", workflow: "offsite", severity: "critical", reason: "failed", title: "offsite failed: copy timed out after 1h", at: at(7, 12), lasted: 6 * time.Hour, told: []string{"pager", "ops"}},
		{fingerprint: "workflow/daily", workflow: "daily", severity: "critical", reason: "failed", title: "daily failed: backup: connection refused", at: at(9, 12), lasted: 24 * time.Hour, told: []string{"pager", "ops"}},
		{fingerprint: "workflow/weekly", workflow: "weekly", severity: "warning", reason: "failed", title: "weekly failed: restart-api: does not answer after its restart", at: weekly.at.Add(4 * time.Minute), run: weekly.id, told: []string{"ops"}},
		{fingerprint: "check/mlflow", check: "mlflow", severity: "critical", reason: "critical", title: "mlflow: 503 Service Unavailable", at: at(0, 3), told: []string{"pager", "ops"}, ackedBy: "anna@db-1 (web)"},
	} {
		if err := s.fault(ctx, i, one); err != nil {
			return fmt.Errorf("record the incident of %s: %w", one.fingerprint, err)
		}
	}
	return nil
}

// incident is a fault of the story.
type incident struct {
	fingerprint, workflow, check     string
	severity, reason, title, ackedBy string
	run                              runner.RunID
	at                               time.Time
	lasted                           time.Duration // 0 means that it still lasts
	told                             []string
}

func (s *story) fault(ctx context.Context, serial int, f incident) error {
	id := idOf(f.at, serial)
	state, resolved, acked := "open", any(nil), any(nil)
	if f.lasted > 0 {
		state, resolved = "resolved", f.at.Add(f.lasted).UnixMicro()
	}
	if f.ackedBy != "" {
		acked = f.at.Add(8 * time.Minute).UnixMicro()
	}
	_, err := s.db.ExecContext(ctx, `INSERT INTO incidents (id, fingerprint, workflow, severity, reason, title, run, channels, state, count, opened_at, last_at, resolved_at, resolver,
			check_name, last_good, first_bad, acked_at, acked_by, told) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, '', ?, ?, ?, ?, ?, ?)`,
		id, f.fingerprint, f.workflow, f.severity, f.reason, f.title, f.run, `["`+strings.Join(f.told, `","`)+`"]`, state, f.at.UnixMicro(), f.at.UnixMicro(), resolved,
		f.check, f.at.Add(-time.Minute).UnixMicro(), f.at.Add(-30*time.Second).UnixMicro(), acked, f.ackedBy, f.severity)
	if err != nil {
		return err
	}
	entries := []runner.Entry{
		{At: f.at, Kind: runner.EntryOpened, Text: f.title},
		{At: f.at, Kind: "evidence", Name: "answer", Text: "GET /health\nHTTP/1.1 503 Service Unavailable\n\nupstream connect error"},
	}
	if f.ackedBy != "" {
		entries = append(entries, runner.Entry{At: f.at.Add(8 * time.Minute), Kind: "acked", By: f.ackedBy, Text: "I am on it"})
	}
	if f.lasted > 0 {
		entries = append(entries, runner.Entry{At: f.at.Add(f.lasted), Kind: "resolved"})
	}
	for _, e := range entries {
		if _, err := s.db.ExecContext(ctx, "INSERT INTO entries (incident, at, kind, name, text, made_by) VALUES (?, ?, ?, ?, ?, ?)", id, e.At.UnixMicro(), e.Kind, e.Name, e.Text, e.By); err != nil {
			return err
		}
	}
	for n, channel := range f.told {
		if err := s.notice(ctx, id, channel, "open", f.at, 10*serial+n); err != nil {
			return err
		}
		if f.lasted > 0 {
			if err := s.notice(ctx, id, channel, "resolve", f.at.Add(f.lasted), 10*serial+n+5); err != nil {
				return err
			}
		}
	}
	return nil
}

// notice records a message that was sent.
func (s *story) notice(ctx context.Context, incident, channel, action string, at time.Time, serial int) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO notices (id, incident, channel, action, combined, subject, text, state, attempts, owner, created_at, next_at, ended_at, receipt, error, turn)
		VALUES (?, ?, ?, ?, 0, '', '', 'sent', 1, '', ?, ?, ?, '200 OK', '', 0)`, idOf(at, 1000+serial), incident, channel, action, at.UnixMicro(), at.UnixMicro(), at.Add(time.Second).UnixMicro())
	return err
}

// samples records what the checks measured: folded to a quarter of an hour, and every
// 30 seconds in the last six hours.
func (s *story) samples(ctx context.Context) error {
	const fold, raw = 15 * time.Minute, 30 * time.Second
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to undo
	statement, err := tx.PrepareContext(ctx, "INSERT INTO samples (series, length, at, count, sum, low, high) VALUES (?, ?, ?, ?, ?, ?, ?)")
	if err != nil {
		return err
	}
	defer statement.Close() //nolint:errcheck // the transaction ends with it
	recent := s.now.Add(-6 * time.Hour).Truncate(fold)
	series := 0
	for _, c := range s.cfg.Checks {
		kinds := []string{"up", "seconds"}
		if c.Name == "mlflow" {
			kinds = append(kinds, "bad")
		}
		for _, what := range kinds {
			series++
			if _, err := tx.ExecContext(ctx, "INSERT INTO series (id, name, first_at, last_at, value) VALUES (?, ?, ?, ?, 1)", series, "check."+c.Name+"."+what, s.from.UnixMicro(), s.now.UnixMicro()); err != nil {
				return err
			}
			for at := s.from.Truncate(fold); at.Before(recent) && what != "bad"; at = at.Add(fold) {
				v := s.measured(c.Name, what, at)
				if _, err := statement.ExecContext(ctx, series, fold.Microseconds(), at.UnixMicro(), 10, 10*v, v*0.9, v); err != nil {
					return err
				}
			}
			for at := recent; at.Before(s.now); at = at.Add(raw) {
				v := s.measured(c.Name, what, at)
				if what == "bad" && v == 0 {
					continue // only what is not well is on record there
				}
				if _, err := statement.ExecContext(ctx, series, 0, at.UnixMicro(), 1, v, v, v); err != nil {
					return err
				}
			}
		}
	}
	return tx.Commit()
}

// criticalStatus is how a critical answer for its status is on record.
const criticalStatus = 63

// measured is what a check found at an instant: slower by day than by night.
func (s *story) measured(check, what string, at time.Time) float64 {
	ago := s.now.Sub(at)
	down := check == "mlflow" && ago < 3*time.Hour || check == "api" && ago > 555*time.Hour && ago < 556*time.Hour
	switch {
	case what == "bad" && down:
		return criticalStatus
	case what == "bad":
		return 0
	case what == "up" && down:
		return 0
	case what == "up":
		return 1
	}
	day := 1 + math.Sin(2*math.Pi*float64(at.Unix()%86400)/86400-math.Pi/2)
	return 0.012 + 0.02*day + 0.015*noiseOf(check, at)
}

// events records what happened to the system.
func (s *story) events(ctx context.Context) error {
	var list []runner.Happening
	for day := usualDays - 1; day > 0; day -= 3 {
		list = append(list, runner.Happening{Kind: "deploy", Subject: "ghosteam-v5-api", Text: fmt.Sprintf("5.%d.0", usualDays-day), By: "pipeline", At: s.now.AddDate(0, 0, -day)})
	}
	list = append(list, runner.Happening{Kind: "packages", Subject: "openssl", Text: "3.0.14 to 3.0.15", By: "weekly", At: s.now.Add(-49 * time.Hour)})
	return s.ledger.Record(ctx, list...)
}

func (s *story) pause(ctx context.Context) error {
	return s.ledger.Pause(ctx, runner.Pause{
		Workflow: "reindex", By: "anna@db-1 (web)", Why: "a long import is under way", Since: s.now.AddDate(0, 0, -6), Until: s.now.AddDate(0, 0, 2),
	})
}

// files makes what the workflows look for.
func (s *story) files(dir string) func(context.Context) error {
	return func(context.Context) error {
		for _, name := range []string{"models", "logs", "backups"} {
			if err := os.MkdirAll(filepath.Join(dir, name), 0o750); err != nil {
				return fmt.Errorf("make the folder %s: %w", name, err)
			}
		}
		return os.WriteFile(filepath.Join(dir, "models", "golden.json"), []byte(`{"inputs": [[1, 2]]}`+"\n"), 0o600)
	}
}

// Answer is what Usual's checks ask: all is well but for mlflow.
func Answer(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/mlflow" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = io.WriteString(w, "{}\n") // a client that has gone needs no answer
}
