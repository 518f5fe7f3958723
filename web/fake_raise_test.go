package web_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/web/api"
)

// raiser answers with what it was told.
type raiser struct{}

func (raiser) Raise(_ context.Context, by string, a api.AlertRequest) (api.Alerted, error) {
	if a.Type == "refused" {
		return api.Alerted{}, api.NewProblem(api.CodeInvalid, "say something", "it says nothing")
	}
	return api.Alerted{Fingerprint: "alert/" + a.Type, Changed: !a.Resolve, Channels: []string{by, fmt.Sprint(a.Message, a.Severity, a.Metadata)}}, nil
}

func TestClient_SendAlert(t *testing.T) {
	t.Parallel()
	d := start(t, stocked())
	done, err := d.client.SendAlert(t.Context(), api.AlertRequest{Type: "drift", Message: "81 %", Severity: jobs.Critical, Metadata: map[string]string{"model": "v41"}})
	if err != nil || done.Fingerprint != "alert/drift" || !done.Changed || len(done.Channels) != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	if !strings.Contains(done.Channels[0], "test") || done.Channels[1] != "81 %criticalmap[model:v41]" {
		t.Errorf("it was told %q", done.Channels)
	}
	if done, err = d.client.SendAlert(t.Context(), api.AlertRequest{Type: "drift", Resolve: true}); err != nil || done.Changed {
		t.Errorf("%+v, %v", done, err)
	}
	if _, err := d.client.SendAlert(t.Context(), api.AlertRequest{Type: "refused"}); err == nil || jobs.HintOf(err) != "say something" {
		t.Errorf("a refusal came as %v", err)
	}
}
