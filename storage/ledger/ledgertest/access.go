package ledgertest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

func digestOf(text string) runner.TokenDigest { return sha256.Sum256([]byte(text)) }

// testTokens follows tokens from their making to their end.
func testTokens(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	expires := time.Now().Add(24 * time.Hour).UTC().Truncate(time.Microsecond)
	ci, err := s.AddToken(s.ctx, runner.Token{Name: "ci", Role: runner.RoleOperator, By: "anna\n", ExpiresAt: expires}, digestOf("ci"))
	s.must(err)
	if ci.ID == "" || ci.By != "anna" || ci.CreatedAt.IsZero() {
		t.Errorf("made %+v", ci)
	}
	board, err := s.AddToken(s.ctx, runner.Token{Name: "board", Role: runner.RoleViewer, By: "ben"}, digestOf("board"))
	s.must(err)
	if _, err := s.AddToken(s.ctx, runner.Token{Name: "ci", Role: runner.RoleAdmin, By: "eve"}, digestOf("eve")); !errors.Is(err, runner.ErrTokenExists) {
		t.Errorf("a second token of the name: %v, want ErrTokenExists", err)
	}
	for name, token := range map[string]runner.Token{
		"no name": {Role: runner.RoleViewer}, "no role": {Name: "x"}, "none": {Name: "x", Role: runner.RoleNone},
		"expired": {Name: "x", Role: runner.RoleViewer, ExpiresAt: time.Now().Add(-time.Second)}, "bad ID": {ID: "1", Name: "x", Role: runner.RoleViewer},
	} {
		if _, err := s.AddToken(s.ctx, token, digestOf(name)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	found, err := s.TokenOf(s.ctx, digestOf("ci"))
	s.must(err)
	same(t, "the token of its digest", ci, found)
	near := digestOf("ci")
	near[len(near)-1] ^= 1 // found by the same beginning
	for name, digest := range map[string]runner.TokenDigest{"another digest": digestOf("other"), "a digest of the same beginning": near} {
		if _, err := s.TokenOf(s.ctx, digest); !errors.Is(err, runner.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}

	used := time.Now().UTC().Truncate(time.Microsecond)
	s.must(s.UseToken(s.ctx, ci.ID, used))
	s.must(s.UseToken(s.ctx, ci.ID, used.Add(59*time.Minute)))
	s.must(s.UseToken(s.ctx, "nobody", used))
	found, err = s.TokenOf(s.ctx, digestOf("ci"))
	s.must(err)
	if !found.UsedAt.Equal(used) {
		t.Errorf("used at %s, want %s: at most once an hour", found.UsedAt, used)
	}

	if _, err := s.RevokeToken(s.ctx, "nobody", "anna"); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("revoke what is not there: %v", err)
	}
	if _, err := s.RevokeToken(s.ctx, "x\x00", "anna"); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("revoke what cannot be: %v", err)
	}
	gone, err := s.RevokeToken(s.ctx, ci.ID, "anna")
	s.must(err)
	if gone.Name != "ci" || gone.RevokedBy != "anna" || gone.Valid(time.Now()) {
		t.Errorf("revoked %+v", gone)
	}
	if _, err := s.RevokeToken(s.ctx, "ci", "anna"); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("revoke it again: %v", err)
	}
	found, err = s.TokenOf(s.ctx, digestOf("ci"))
	s.must(err)
	if found.RevokedAt.IsZero() {
		t.Error("the revoked token does not say so")
	}
	again, err := s.AddToken(s.ctx, runner.Token{Name: "ci", Role: runner.RoleViewer, By: "anna"}, digestOf("ci again"))
	s.must(err)
	list, err := s.Tokens(s.ctx)
	s.must(err)
	var names []string
	for _, token := range list {
		names = append(names, fmt.Sprintf("%s %s %t", token.Name, token.Role, token.Valid(time.Now())))
	}
	same(t, "the tokens", []string{"board viewer true", "ci viewer true", "ci operator false"}, names)
	if board.ID == again.ID {
		t.Error("two tokens have one ID")
	}
	// The digest alone is kept: nothing that leads back to the text is told.
	if text := fmt.Sprintf("%+v", list); strings.Contains(text, fmt.Sprintf("%x", digestOf("board"))) {
		t.Error("a list shows digests")
	}
}

// testTokenRace lets many make a token of one name.
func testTokenRace(t *testing.T, dsn secret.String) {
	const many = 8
	a, b := join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)
	var made atomic.Int32
	var group sync.WaitGroup
	for i := range many {
		s := a
		if i%2 == 1 {
			s = b
		}
		group.Go(func() {
			_, err := s.AddToken(s.ctx, runner.Token{Name: "ci", Role: runner.RoleViewer, By: "anna"}, digestOf(fmt.Sprint(i)))
			switch {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, runner.ErrTokenExists):
				t.Errorf("make a token: %v", err)
			}
		})
	}
	group.Wait()
	if made.Load() != 1 {
		t.Errorf("%d tokens of one name were made, want 1", made.Load())
	}
}

// testAudit records actions and pages through them.
func testAudit(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	var want []runner.Action
	for i := range 7 {
		a := runner.Action{
			At: Midnight().Add(time.Duration(i) * time.Minute), Who: []string{"anna", "ben"}[i%2], Role: runner.RoleOperator, Means: "token",
			From: "10.0.0.1", Via: "cli", What: []string{"cancel-run", "start-run", "drain"}[i%3], Subject: fmt.Sprint("run ", i),
			End: []runner.ActionEnd{runner.ActionDone, runner.ActionRefused}[i/4], Status: 200, RequestID: "r", Count: 1 + i/6,
		}
		want = append([]runner.Action{a}, want...)
		s.must(s.Audit(s.ctx, a))
	}
	s.must(s.Audit(s.ctx))
	list := func(f runner.ActionFilter) []runner.Action {
		t.Helper()
		got, err := s.Actions(s.ctx, f)
		s.must(err)
		return got
	}
	all := list(runner.ActionFilter{})
	for i := range all {
		if i < len(want) {
			want[i].ID = all[i].ID
		}
	}
	same(t, "the audit", want, all)
	var paged []runner.Action
	for before := ""; ; {
		page := list(runner.ActionFilter{Before: before, Limit: 3})
		if len(page) == 0 {
			break
		}
		paged, before = append(paged, page...), page[len(page)-1].ID
	}
	same(t, "the audit by pages", want, paged)
	for name, tc := range map[string]struct {
		f    runner.ActionFilter
		want int
	}{
		"who": {runner.ActionFilter{Who: "ben"}, 3}, "what": {runner.ActionFilter{What: "drain"}, 2}, "end": {runner.ActionFilter{End: runner.ActionRefused}, 3},
		"both": {runner.ActionFilter{Who: "anna", What: "cancel-run"}, 2}, "since": {runner.ActionFilter{Since: Midnight().Add(5 * time.Minute)}, 2},
		"until": {runner.ActionFilter{Until: Midnight().Add(5 * time.Minute)}, 5}, "unstorable": {runner.ActionFilter{Who: "x\x00"}, 0},
	} {
		if got := len(list(tc.f)); got != tc.want {
			t.Errorf("%s: %d actions, want %d", name, got, tc.want)
		}
	}
	s.must(s.Audit(s.ctx, all[0]))
	if got := list(runner.ActionFilter{}); len(got) != 7 {
		t.Errorf("%d actions after one was recorded again, want 7", len(got))
	}
	s.must(s.Audit(s.ctx, runner.Action{Who: "eve\nroot", What: "drain", Subject: strings.Repeat("x", 5000) + "\x00", End: runner.ActionFailed}))
	odd := list(runner.ActionFilter{Who: "eve root", Limit: 1})
	if len(odd) != 1 {
		t.Fatalf("%d odd actions, want 1", len(odd))
	}
	if got := odd[0]; got.Who != "eve root" || len(got.Subject) > 1100 || got.Count != 1 || got.At.IsZero() {
		t.Errorf("an odd action is kept as %.200v", got)
	}
	if _, err := s.Actions(s.ctx, runner.ActionFilter{Limit: -1}); err == nil {
		t.Error("a negative limit was accepted")
	}
}

// testAccessPruned looks what goes with the past.
func testAccessPruned(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	for i, at := range []time.Time{time.Now().Add(-48 * time.Hour), time.Now()} {
		s.must(s.Audit(s.ctx, runner.Action{At: at, Who: "anna", What: "drain", End: runner.ActionDone}))
		_, err := s.AddToken(s.ctx, runner.Token{Name: fmt.Sprint("t", i), Role: runner.RoleViewer, By: "anna"}, digestOf(fmt.Sprint(i)))
		s.must(err)
	}
	_, err := s.RevokeToken(s.ctx, "t0", "anna")
	s.must(err)
	for _, dry := range []bool{true, false} {
		r := runner.Retention{Now: time.Now().Add(36 * time.Hour), Rest: 48 * time.Hour, DryRun: dry}
		got, err := s.PruneRuns(s.ctx, r)
		s.must(err)
		if got.Actions != 1 || got.Tokens != 0 {
			t.Errorf("dry %t: %d actions and %d tokens went, want 1 and none", dry, got.Actions, got.Tokens)
		}
	}
	got, err := s.PruneRuns(s.ctx, runner.Retention{Now: time.Now().Add(72 * time.Hour), Rest: 48 * time.Hour})
	s.must(err)
	if got.Tokens != 1 {
		t.Errorf("%d tokens went, want the revoked one", got.Tokens)
	}
	list, err := s.Tokens(s.ctx)
	s.must(err)
	if len(list) != 1 || list[0].Name != "t1" {
		t.Errorf("left %+v", list)
	}
}
