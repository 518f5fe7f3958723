package web_test

import (
	"errors"
	"testing"

	"github.com/ghosteam/upkeep/web/api"
)

// TestClient_Members lists the nodes that belong to the system, and forgets
// one.
func TestClient_Members(t *testing.T) {
	t.Parallel()
	d := start(t, stocked())
	c, ctx := d.client, t.Context()
	members, err := c.Members(ctx)
	if err != nil || len(members) != len(d.nodes) || len(members) == 0 {
		t.Fatalf("members: %+v, %v", members, err)
	}
	if m := members[0]; m.Name != d.nodes[0].Name || m.State != api.MemberAlive || m.Labels == nil || m.Running != 1 || m.LeaseUntil != nil || !m.LastSeen.Equal(day(2)) {
		t.Errorf("member: %+v", m)
	}
	if err := c.ForgetNode(ctx, "db 9"); err != nil || len(d.calls) == 0 || d.calls[len(d.calls)-1] != "forget db 9" {
		t.Errorf("forget: %v, %v", d.calls, err)
	}
	err = c.ForgetNode(ctx, "alive")
	if p, ok := errors.AsType[*api.Problem](err); !ok || p.Code != api.CodeSkipped {
		t.Errorf("forget a node that is there: %v", err)
	}
}
