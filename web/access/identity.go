package access

import (
	"context"

	"github.com/ghosteam/upkeep/runner"
)

// Means is how somebody proved who they are.
type Means string

// The means.
const (
	BySocket      Means = "socket"      // the kernel says who is at the other end
	ByToken       Means = "token"       // the header Authorization
	ByCookie      Means = "cookie"      // the same token, from the login page
	ByPassword    Means = "password"    // a user of the configuration
	ByCertificate Means = "certificate" // a client certificate
	ByNothing     Means = "anonymous"   // nothing; the role is web.anonymous
)

// Identity is who asks, as the transport proved it.
type Identity struct {
	// Name is the user's name, or that of the token.
	Name string
	// Role is what they may do; the zero value may do nothing.
	Role runner.Role
	// From is the address of the client; empty for the unix socket.
	From string
	// Means is how they proved who they are.
	Means Means
}

// Anonymous tells whether the identity was not proven.
func (i Identity) Anonymous() bool { return i.Means == ByNothing }

type identityKey struct{}

// Identify adds who asks to the context of a connection or a request.
func Identify(ctx context.Context, who Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, who)
}

// Of returns who asks; known is false when nobody found out.
func Of(ctx context.Context) (who Identity, known bool) {
	who, known = ctx.Value(identityKey{}).(Identity)
	return who, known
}
