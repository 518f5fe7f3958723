package web

import (
	"context"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/access"
)

// Identity is who asks, as the transport proved it.
type Identity = access.Identity

// Role is what somebody may do.
type Role = runner.Role

// The roles, the lowest first.
const (
	None     = runner.RoleNone
	Viewer   = runner.RoleViewer
	Operator = runner.RoleOperator
	Admin    = runner.RoleAdmin
)

// Identify adds who asks to the context of a connection or a request.
func Identify(ctx context.Context, who Identity) context.Context { return access.Identify(ctx, who) }
