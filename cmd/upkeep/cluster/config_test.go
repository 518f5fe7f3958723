package cluster_test

import (
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"
)

// calendar is what the oracle knows of a workflow.
type calendar struct {
	name  string
	every time.Duration
	// each says that every node has a run of its own for each slot.
	each bool
	// on are the nodes that may run it; nil for all.
	on []string
	// alone says that a run never begins before the one before it has ended.
	alone bool
	// never says that what was interrupted is not repeated.
	never bool
}

// calendars has one workflow for each way in which nodes share work.
func calendars() []calendar {
	return []calendar{
		{name: "any", every: time.Second},
		{name: "row", every: 2 * time.Second, alone: true},
		{name: "skip", every: time.Second, alone: true},
		{name: "never", every: time.Second, never: true},
		{name: "label", every: time.Second, on: []string{"n1", "n2"}},
		{name: "every", every: time.Second, each: true},
		{name: "long", every: 10 * time.Second},
		{name: "alarm", every: 2 * time.Second},
	}
}

// fits tells whether a node may take over a run of c.
func (c calendar) fits(node string) bool {
	return !c.each && (c.on == nil || slices.Contains(c.on, node))
}

// configText is the configuration of one node.
const configText = `
project: cluster
timezone: UTC
node: {{.Node}}
labels: [{{.Labels}}]
ledger: "{{.Ledger}}"
lease: {every: {{.Beat}}, ttl: {{.TTL}}}
web: off
max_running: 24
kill_grace: 1s
drain_timeout: 1m
ballast: off
channels:
  collector: {kind: webhook, url: "{{.Collector}}", allow_http: true}
workflows:
  any:
    schedule: {every: 1s}
    overlap: allow
    catch_up: {run: all, max: 1000}
    jobs:
      work: {kind: script, with: {run: [sh, work.sh, "0.7"]}}
  row:
    schedule: {every: 2s}
    overlap: queue
    catch_up: {run: all, max: 1000}
    jobs:
      one: {kind: script, with: {run: [sh, work.sh, "0.1"]}}
      two: {kind: script, needs: [one], with: {run: [sh, work.sh, "0.5"]}}
  skip:
    schedule: {every: 1s}
    jobs:
      work: {kind: script, with: {run: [sh, work.sh, "1.3"]}}
  never:
    schedule: {every: 1s}
    overlap: allow
    jobs:
      work: {kind: script, on_crash: never, with: {run: [sh, work.sh, "0.8"]}}
  label:
    schedule: {every: 1s}
    overlap: allow
    runs_on: {label: blue}
    jobs:
      work: {kind: script, with: {run: [sh, work.sh, "0.4"]}}
  every:
    schedule: {every: 1s}
    overlap: allow
    runs_on: every
    jobs:
      work: {kind: script, with: {run: [sh, work.sh, "0.6"]}}
  long:
    schedule: {every: 10s}
    overlap: allow
    jobs:
      work: {kind: script, with: {run: [sh, work.sh, "{{.Long}}"]}}
  alarm:
    schedule: {every: 2s}
    jobs:
      work: {kind: script, with: {run: [sh, -c, "! test -e {{.Alarm}}"]}}
  load:
    overlap: allow
    alert: {off: true}
    jobs:
      work: {kind: script, with: {run: [sh, work.sh, "1"]}}
`

// workScript leaves its traces by writes that are whole or not there at all,
// under the clock of this machine. Its child leaves the session, as careless
// scripts do.
const workScript = `
echo "begin $UPKEEP_WORKFLOW $UPKEEP_RUN_ID $UPKEEP_JOB $UPKEEP_ATTEMPT $(date +%s%N)" >> effects
setsid sleep "$1" &
wait $!
echo "end $UPKEEP_WORKFLOW $UPKEEP_RUN_ID $UPKEEP_JOB $UPKEEP_ATTEMPT $(date +%s%N)" >> effects
`

// settings are what differs between nodes and between tests.
type settings struct {
	Node, Labels, Ledger, Collector, Alarm string
	Beat, TTL                              time.Duration
	// Long is how many seconds the longest job takes.
	Long int
}

func (s settings) text(t *testing.T) string {
	t.Helper()
	parsed, err := template.New("").Parse(configText)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := parsed.Execute(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
