package main

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// twins says of each command by which operations of the API the same can be
// asked, so that it can be pointed at a service elsewhere; or why not.
func twins() map[string]struct {
	operations string
	why        string
} {
	type twin = struct {
		operations string
		why        string
	}
	const local = "it is about this machine, its files or this program"
	return map[string]twin{
		"serve": {why: local}, "run": {operations: "start-run follow-run get-run list-attempts get-output cancel-run"}, "retry": {operations: "retry-run follow-run get-run list-latest"},
		"cancel": {operations: "cancel-run"}, "approve": {operations: "approve-run"},
		"list": {operations: "list-workflows get-status"}, "history": {operations: "list-runs list-attempts"}, "show": {operations: "get-run list-run-attempts get-output list-past"},
		"logs": {operations: "get-output follow-output list-attempts"}, "why": {operations: "get-why list-slots"}, "doctor": {why: local}, "health": {operations: "list-checks"},
		"kpi": {operations: "list-kpis"}, "kpi explain": {operations: "list-kpis"},
		"report": {operations: "get-report"},
		"plan":   {operations: "get-plan"}, "pause": {operations: "pause-workflow"}, "unpause": {operations: "unpause-workflow"},
		"runbook list": {operations: "list-runbooks"}, "runbook show": {operations: "get-runbook"}, "runbook plan": {operations: "plan-runbook"},
		"backup list": {operations: "list-artifacts get-artifact"}, "backup verify": {operations: "verify-artifacts"}, "backup drill": {operations: "drill-artifacts"},
		"backup restore": {operations: "restore-artifact"}, "backup prune": {operations: "prune-artifacts"},
		"db explain": {operations: "explain-statement"},
		"alert send": {operations: "send-alert"}, "alert test": {operations: "test-channel"}, "alert preview": {why: "it writes messages by the configuration of this machine"},
		"alert outbox": {operations: "list-notices"}, "alert outbox list": {operations: "list-notices"}, "alert outbox retry": {operations: "retry-notice"}, "alert outbox drop": {operations: "drop-notice"},
		"incident list": {operations: "list-incidents"}, "incident show": {operations: "get-incident"}, "incident ack": {operations: "ack-incident"}, "incident note": {operations: "note-incident began-incident"},
		"incident resolve": {operations: "resolve-incident"}, "incident report": {operations: "get-post-mortem"},
		"silence add": {operations: "add-silence"}, "silence list": {operations: "list-silences"}, "silence end": {operations: "end-silence"},
		"metric add": {operations: "add-samples"}, "metric list": {operations: "list-series"}, "metric show": {operations: "list-samples"},
		"metrics": {operations: "/metrics"}, "log level": {operations: "list-log-levels set-log-level reset-log-level"},
		"event list": {operations: "list-events"}, "event add": {operations: "add-event"}, "event deploy": {operations: "add-event"},
		"ping": {operations: "/ping/"},
		"init": {why: local}, "validate": {why: local}, "drain": {operations: "drain undrain"}, "prune-history": {why: "the service does it by itself"},
		"kinds": {why: local}, "schema": {why: local}, "completion": {why: local}, "version": {why: local}, "help": {why: local}, "man": {why: local},
		"token create": {operations: "create-token"}, "token list": {operations: "list-tokens"}, "token revoke": {operations: "revoke-token"}, "token hash": {why: local},
		"audit": {operations: "list-actions"}, "nodes": {operations: "list-nodes"}, "locks": {operations: "list-locks"}, "nodes forget": {operations: "forget-node"}, "ledger status": {why: local}, "ledger migrate": {why: local},
	}
}

// TestTwins shows that each command that lists or acts has its twin in the API,
// that each twin exists, and that each operation that acts has a command.
func TestTwins(t *testing.T) {
	t.Parallel()
	spec, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, match := range regexp.MustCompile(`(?m)^      operationId: "?([a-z-]+)"?$`).FindAllStringSubmatch(string(spec), -1) {
		known[match[1]] = true
	}
	if len(known) < 40 {
		t.Fatalf("only %d operations were found", len(known))
	}
	root := newRoot(&app{name: "upkeep", getenv: func(string) (string, bool) { return "", false }})
	table, used := twins(), map[string]bool{}
	for _, path := range runnable(root, "") {
		twin, ok := table[path]
		if !ok || (twin.operations == "") == (twin.why == "") {
			t.Errorf("`upkeep %s` has neither a twin in the API nor a reason why not", path)
		}
		for operation := range strings.FieldsSeq(twin.operations) {
			if used[operation] = true; !known[operation] && !strings.HasPrefix(operation, "/") {
				t.Errorf("`upkeep %s`: there is no operation %q", path, operation)
			}
		}
	}
	// These are for programs and pages; no person types them.
	pages := []string{"list-nodes", "get-caller", "get-config", "follow-changes", "get-health", "get-run-detail", "get-workflow", "list-pauses", "reload"}
	for _, operation := range slices.Sorted(maps.Keys(known)) {
		if !used[operation] && !slices.Contains(pages, operation) {
			t.Errorf("no command uses the operation %s", operation)
		}
	}
}

// runnable are the commands that do something, by their words.
func runnable(cmd *cobra.Command, path string) []string {
	var out []string
	for _, c := range cmd.Commands() {
		name := strings.TrimSpace(path + " " + c.Name())
		if below := runnable(c, name); len(below) > 0 {
			out = append(out, below...)
			continue
		}
		out = append(out, name)
	}
	return out
}
