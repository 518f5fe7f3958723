package runner

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"
)

// Role is what somebody may do over the API and the web pages. A higher one may
// do all that a lower one may.
type Role string

// The roles, the lowest first.
const (
	// RoleNone may do nothing.
	RoleNone Role = "none"
	// RoleViewer reads.
	RoleViewer Role = "viewer"
	// RoleOperator also acts on runs, workflows, incidents and notices.
	RoleOperator Role = "operator"
	// RoleAdmin also acts on the service itself and on who may use it.
	RoleAdmin Role = "admin"
)

// Roles lists the roles, the lowest first.
func Roles() []Role { return []Role{RoleNone, RoleViewer, RoleOperator, RoleAdmin} }

// rank orders the roles; what is no role is 0.
func (r Role) rank() int {
	for i, known := range Roles() {
		if r == known {
			return i + 1
		}
	}
	return 0
}

// Allows tells whether r may do what needs the role needed. What is no role
// allows nothing but what needs RoleNone, and nothing is allowed that needs
// what is no role.
func (r Role) Allows(needed Role) bool {
	return needed == RoleNone || needed.rank() > 0 && r.rank() >= needed.rank()
}

// Grantable tells whether somebody may be given the role: it is one of viewer,
// operator and admin.
func (r Role) Grantable() bool { return r.rank() > 1 }

// ErrTokenExists reports that a token of that name is in use.
var ErrTokenExists = errors.New("a token of this name is in use")

// TokenDigest is what is kept of a token's text: its SHA-256.
type TokenDigest [sha256.Size]byte

// Token lets whoever knows its text use the API.
type Token struct {
	// ID is given to a token that has none when it is recorded.
	ID string
	// Name is that of who uses it, and stands in the record of what they do.
	// At most one token of a name is in use at a time.
	Name string
	Role Role
	// CreatedAt is when, By who made it.
	CreatedAt time.Time
	By        string
	// ExpiresAt is from when on it counts no more; zero for never.
	ExpiresAt time.Time
	// UsedAt is when it was last used, to about an hour; zero for never.
	UsedAt time.Time
	// RevokedAt is when it was taken back, by RevokedBy; zero for not.
	RevokedAt time.Time
	RevokedBy string
}

// Valid tells whether the token counts at an instant.
func (t Token) Valid(at time.Time) bool {
	return t.RevokedAt.IsZero() && (t.ExpiresAt.IsZero() || at.Before(t.ExpiresAt))
}

// TokenReader reads tokens. Its methods may be called from several goroutines.
type TokenReader interface {
	// Tokens returns the tokens, those in use first, by name.
	Tokens(ctx context.Context) ([]Token, error)
	// TokenOf returns the token with that digest, also when it counts no more.
	// It compares digests in constant time. ErrNotFound when there is none.
	TokenOf(ctx context.Context, digest TokenDigest) (Token, error)
}

// Tokens keeps tokens. Its methods may be called from several goroutines and
// return when what they changed is durable.
type Tokens interface {
	TokenReader
	// AddToken records a token and returns it with its ID. ErrTokenExists when
	// one of its name is neither revoked nor expired.
	AddToken(ctx context.Context, t Token, digest TokenDigest) (Token, error)
	// RevokeToken takes back the token in use of that name or ID and returns it.
	// ErrNotFound without one.
	RevokeToken(ctx context.Context, nameOrID, by string) (Token, error)
	// UseToken records that a token was used. Within an hour of the last record
	// it changes nothing.
	UseToken(ctx context.Context, id string, at time.Time) error
}
