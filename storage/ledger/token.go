package ledger

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

var (
	_ runner.Tokens      = (*Ledger)(nil)
	_ runner.TokenReader = (*Reader)(nil)
)

const (
	// lookupBytes is how many bytes of a digest a token is found by. What the
	// time of the search tells is at most that of a hash.
	lookupBytes = 8
	// useEvery is how often the use of a token is recorded at most.
	useEvery = time.Hour
	// mostTokens bounds what Tokens returns.
	mostTokens = 10_000
)

const tokenColumns = "id, name, role, created_at, made_by, expires_at, used_at, revoked_at, revoked_by" //nolint:gosec // the names of columns

func scanToken(row scanner, more ...any) (runner.Token, error) {
	var t runner.Token
	var created, expires, used, revoked sql.NullInt64
	err := row.Scan(append([]any{&t.ID, &t.Name, &t.Role, &created, &t.By, &expires, &used, &revoked, &t.RevokedBy}, more...)...)
	t.CreatedAt, t.ExpiresAt, t.UsedAt, t.RevokedAt = instant(created), instant(expires), instant(used), instant(revoked)
	return t, err
}

// AddToken records a token. One of its name that has expired makes way for it.
func (l *Ledger) AddToken(ctx context.Context, t runner.Token, digest runner.TokenDigest) (runner.Token, error) {
	what := "record the token " + clean(t.Name, maxName)
	now := time.Now().UTC()
	errs := []error{checkName("the name of the token", t.Name), checkID(t.ID)}
	if !t.Role.Grantable() {
		errs = append(errs, fmt.Errorf("unknown role %q", clean(string(t.Role), maxName)))
	}
	if !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(now) {
		errs = append(errs, errors.New("it would have expired already"))
	}
	if err := errors.Join(errs...); err != nil {
		return t, fmt.Errorf("%s: %w", what, err)
	}
	if t.CreatedAt.IsZero() {
		t.CreatedAt = now
	}
	if t.ID == "" {
		ids, _, err := newRunIDs(t.CreatedAt, 1)
		if err != nil {
			return t, fmt.Errorf("%s: make an ID: %w", what, err)
		}
		t.ID = string(ids[0])
	}
	t.By = cleanLine(t.By, maxShortText)
	err := l.transact(ctx, what, func(ctx context.Context, s session) error {
		if _, err := s.exec(ctx, "UPDATE tokens SET revoked_at = expires_at WHERE name = ? AND revoked_at IS NULL AND expires_at <= ?", t.Name, now.UnixMicro()); err != nil {
			return err
		}
		text := hex.EncodeToString(digest[:])
		made, err := s.exec(ctx, "INSERT INTO tokens ("+tokenColumns+", lookup, digest) VALUES ("+marks(11)+") ON CONFLICT DO NOTHING",
			t.ID, t.Name, t.Role, t.CreatedAt.UnixMicro(), t.By, micros(t.ExpiresAt), nil, nil, "", text[:2*lookupBytes], text)
		if err == nil && made == 0 {
			err = runner.ErrTokenExists
		}
		return err
	})
	t.CreatedAt, t.ExpiresAt = t.CreatedAt.UTC().Truncate(time.Microsecond), t.ExpiresAt.UTC().Truncate(time.Microsecond)
	return t, err
}

// RevokeToken takes a token back.
func (l *Ledger) RevokeToken(ctx context.Context, nameOrID, by string) (runner.Token, error) {
	what := "revoke the token " + clean(nameOrID, maxName)
	var t runner.Token
	if checkText("the name", nameOrID, maxName) != nil {
		return t, fmt.Errorf("%s: %w", what, runner.ErrNotFound)
	}
	err := l.transact(ctx, what, func(ctx context.Context, s session) error {
		var err error
		t, err = scanToken(s.row(ctx, "UPDATE tokens SET revoked_at = ?, revoked_by = ? WHERE (name = ? OR id = ?) AND revoked_at IS NULL RETURNING "+tokenColumns,
			time.Now().UnixMicro(), cleanLine(by, maxShortText), nameOrID, nameOrID))
		if errors.Is(err, sql.ErrNoRows) {
			err = runner.ErrNotFound
		}
		return err
	})
	return t, err
}

// UseToken records that a token was used.
func (l *Ledger) UseToken(ctx context.Context, id string, at time.Time) error {
	what := "record the use of token " + clean(id, maxName)
	if err := checkText("the ID", id, maxName); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return l.transact(ctx, what, func(ctx context.Context, s session) error {
		_, err := s.exec(ctx, "UPDATE tokens SET used_at = ? WHERE id = ? AND (used_at IS NULL OR used_at <= ?)", at.UnixMicro(), id, at.Add(-useEvery).UnixMicro())
		return err
	})
}

// Tokens returns the tokens, at most 10,000: those in use first, by name, then
// the others, those that were made last first.
func (r *Reader) Tokens(ctx context.Context) ([]runner.Token, error) {
	var list []runner.Token
	query := fmt.Sprintf(`SELECT %s FROM tokens
		ORDER BY CASE WHEN revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?) THEN 0 ELSE 1 END,
		CASE WHEN revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?) THEN name ELSE '' END, id DESC LIMIT %d`, tokenColumns, mostTokens)
	now := time.Now().UnixMicro()
	err := r.reading().each(ctx, query, []any{now, now}, func(rows *sql.Rows) error {
		t, err := scanToken(rows)
		list = append(list, t)
		return err
	})
	return list, r.explain(ctx, "list the tokens", err)
}

// TokenOf returns the token with that digest.
func (r *Reader) TokenOf(ctx context.Context, digest runner.TokenDigest) (runner.Token, error) {
	const what = "look up a token"
	want := hex.EncodeToString(digest[:])
	var found *runner.Token
	err := r.reading().each(ctx, "SELECT "+tokenColumns+", digest FROM tokens WHERE lookup = ?", []any{want[:2*lookupBytes]}, func(rows *sql.Rows) error {
		var kept string
		t, err := scanToken(rows, &kept)
		if err == nil && subtle.ConstantTimeCompare([]byte(kept), []byte(want)) == 1 {
			found = &t
		}
		return err
	})
	if err != nil {
		return runner.Token{}, r.explain(ctx, what, err)
	}
	if found == nil {
		return runner.Token{}, fmt.Errorf("%s: %w", what, runner.ErrNotFound)
	}
	return *found, nil
}
