package api

import (
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Token lets a program or a person use the API.
type Token struct {
	ID        string      `json:"id"`
	Name      string      `json:"name" doc:"of who uses it, for the record"`
	Role      runner.Role `json:"role" enum:"viewer,operator,admin"`
	InUse     bool        `json:"in_use" doc:"it is neither revoked nor expired"`
	CreatedAt time.Time   `json:"created_at"`
	By        string      `json:"by" doc:"who made it"`
	ExpiresAt *time.Time  `json:"expires_at" doc:"from when on it counts no more; null for never"`
	UsedAt    *time.Time  `json:"used_at" doc:"when it was last used, to about an hour; null for never"`
	RevokedAt *time.Time  `json:"revoked_at" doc:"when it was taken back; null for not"`
	RevokedBy string      `json:"revoked_by"`
}

// NewToken makes the JSON form of a token.
func NewToken(t runner.Token, now time.Time) Token {
	return Token{
		ID: t.ID, Name: t.Name, Role: t.Role, InUse: t.Valid(now), CreatedAt: t.CreatedAt.UTC(), By: t.By,
		ExpiresAt: Instant(t.ExpiresAt), UsedAt: Instant(t.UsedAt), RevokedAt: Instant(t.RevokedAt), RevokedBy: t.RevokedBy,
	}
}

// Runner turns the answer back into a token.
func (v Token) Runner() runner.Token {
	return runner.Token{
		ID: v.ID, Name: v.Name, Role: v.Role, CreatedAt: v.CreatedAt.UTC(), By: v.By,
		ExpiresAt: moment(v.ExpiresAt), UsedAt: moment(v.UsedAt), RevokedAt: moment(v.RevokedAt), RevokedBy: v.RevokedBy,
	}
}

// Tokens are tokens, those in use first.
type Tokens struct {
	Tokens []Token `json:"tokens" nullable:"false"`
}

// NewTokens makes the JSON form of tokens.
func NewTokens(list []runner.Token, now time.Time) Tokens {
	out := Tokens{Tokens: make([]Token, len(list))}
	for i, t := range list {
		out.Tokens[i] = NewToken(t, now)
	}
	return out
}

// TokenRequest asks for a token.
type TokenRequest struct {
	Name      string      `json:"name" minLength:"1" maxLength:"64" doc:"of who will use it; at most one token of a name is in use"`
	Role      runner.Role `json:"role" enum:"viewer,operator,admin"`
	ExpiresAt *time.Time  `json:"expires_at,omitempty" doc:"from when on it counts no more; without it, never"`
}

// TokenMade is a new token with its text.
type TokenMade struct {
	Token

	Text string `json:"token" doc:"what proves it; it is told this once, and nobody can look it up"`
}

// Caller is who asks, as the API knows it.
type Caller struct {
	Name  string      `json:"name"`
	Role  runner.Role `json:"role" enum:"none,viewer,operator,admin"`
	Means string      `json:"means" doc:"how they proved it: socket, token, cookie, password, certificate or anonymous"`
	From  string      `json:"from" doc:"the address of the client; empty for the unix socket"`
}
