package pagerduty_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/alertstest"
	"github.com/ghosteam/upkeep/alerts/pagerduty"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

// TestSend_Change: a deploy is a change event, and no alert.
func TestSend_Change(t *testing.T) {
	t.Parallel()
	server := alertstest.NewPagerDuty(t)
	m := alerts.Message{
		ID: "0195f1c0-0000-7000-8000-000000000015", Action: runner.NoticeChange, Project: "ghosteam-v5", Node: "db-1", At: time.Now(), Title: "deploy api: 1.4.2 ok",
		Changes: []runner.Happening{{Kind: "deploy", Subject: "api", Text: "1.4.2 ok", By: "anna", At: time.Date(2026, 3, 14, 1, 21, 35, 0, time.UTC)}},
	}
	c := open(t, server, func(o *pagerduty.Options) { o.Changes = true })
	if !c.Chronicles() || open(t, server, nil).Chronicles() {
		t.Error("whether it chronicles is not what its option says")
	}
	receipt, err := c.Send(t.Context(), m)
	if err != nil || !strings.Contains(receipt, "Change event processed") {
		t.Fatalf("%q, %v", receipt, err)
	}
	got := server.Changes()
	if len(got) != 1 || len(server.Events()) != 0 {
		t.Fatalf("%d changes and %d events", len(got), len(server.Events()))
	}
	p := got[0].Payload
	if p.Summary != "[ghosteam-v5] deploy api: 1.4.2 ok" || p.Timestamp != "2026-03-14T01:21:35Z" || p.Source != "db-1" {
		t.Errorf("the change is %+v", p)
	}
	want := map[string]any{"project": "ghosteam-v5", "notice": m.ID, "kind": "deploy", "subject": "api", "what": "1.4.2 ok", "by": "anna"}
	if diff := cmp.Diff(want, p.Details); diff != "" {
		t.Error(diff)
	}
	// Whatever was deployed, it fits.
	m.Title, m.Changes = strings.Repeat("é\n", 3000), nil
	if _, err := c.Send(t.Context(), m); err != nil {
		t.Errorf("a long one: %v", err)
	}
	o := func(o *pagerduty.Options) { o.Changes, o.IntegrationKey = true, secret.New(strings.Repeat("x", 32)) }
	if _, err := open(t, server, o).Send(t.Context(), m); err == nil || strings.Contains(err.Error(), "xxxx") {
		t.Errorf("with a wrong key: %v", err)
	}
}
