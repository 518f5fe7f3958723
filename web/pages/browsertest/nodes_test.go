package browsertest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/scripts/dev/seed"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
	"github.com/ghosteam/upkeep/web/pages/browsertest"
)

// clusterConfig is that of a node: of what it runs, the workflow shares fails where
// there is a file "broken", and the workflow where ends where there is one "release".
const clusterConfig = `project: cluster
node: %s
labels: [%s, db]
timezone: UTC
ballast: off
web: %s
ledger: %s
workflows:
  shares:
    description: Every node does it for itself.
    runs_on: every
    jobs:
      look: {kind: script, with: {run: "echo looking; if [ -e broken ]; then echo 'the mirror is broken' >&2; exit 3; fi; echo 'all there'"}}
  where:
    overlap: allow
    jobs:
      look: {kind: script, locks: [tape], with: {run: "echo waits for release; i=0; until [ -e release ]; do sleep 0.1; i=$((i+1)); [ $i -lt 3000 ] || exit 9; done; echo looked"}}
`

// node starts a service that shares a ledger with others.
func node(t *testing.T, ledger secret.String, name, label string) *browsertest.Service {
	t.Helper()
	return browsertest.Start(t, open, 0, func(_ context.Context, o seed.Options) error {
		text := fmt.Sprintf(clusterConfig, name, label, o.Web, strconv.Quote(ledger.Reveal()))
		return os.WriteFile(filepath.Join(o.Dir, seed.ConfigName), []byte(text), 0o600)
	})
}

// seeNodes looks at two nodes from the pages of one of them: who is there, one
// slot on both, what failed on the other and its retry, a run sent there, what it
// writes meanwhile, and its cancel.
func seeNodes(t *testing.T, browser *browsertest.Browser) {
	t.Parallel()
	shared := ledgertest.Postgres(t)
	here, there := node(t, shared, "db-1", "red"), node(t, shared, "db-2", "blue")
	tab := browser.Tab(t, here.URL)
	tab.Open("/system")
	tab.Await("both nodes", "(tab => tab && tab.querySelectorAll('tbody tr').length === 2 && !tab.innerText.includes('absent'))(document.querySelector('[aria-labelledby=nodes] table'))")
	table := browsertest.Eval[string](tab, "document.querySelector('[aria-labelledby=nodes] table').innerText")
	for _, want := range []string{"db-1", "answers here", "red", "db-2", "blue", "lease ends", "0.0.0-test"} {
		if !strings.Contains(table, want) {
			t.Errorf("the nodes lack %q:\n%s", want, table)
		}
	}
	if strings.Contains(table, "differs") {
		t.Errorf("nodes differ that have the same workflows:\n%s", table)
	}
	look(t, tab, "nodes-system")

	put(t, there, "broken")
	tab.Open("/workflows/shares")
	tab.AwaitText("every node, each for itself")
	tab.Click("Run now")
	tab.Await("the choice of nodes", "[...document.querySelectorAll('#run-on option')].map(o => o.value).join(' ') === ' any node:db-1 node:db-2 label:blue label:db label:red every every:blue every:db every:red'")
	tab.Follow("Run shares")
	tab.AwaitText("2 runs are on their way, one for each node")
	tab.AwaitText("1 failed and 1 succeeded")
	look(t, tab, "nodes-run")
	tab.Open("/workflows/shares")
	tab.AwaitText("on 2 nodes")
	look(t, tab, "nodes-workflow")
	tab.Open("/")
	tab.AwaitText("Failed in the last 24 hours: shares")
	tab.AwaitText("the mirror is broken")
	tab.Follow("Look at the run")
	tab.Await("the run of the other node", "document.querySelector('h1').innerText === 'shares on db-2'")
	tab.AwaitText("the mirror is broken")
	if err := os.Remove(filepath.Join(there.Dir, "broken")); err != nil {
		t.Fatal(err)
	}
	tab.Follow("Retry from look")
	tab.AwaitText("2 succeeded")
	tab.AwaitText("all there")
	tab.Open("/")
	tab.AwaitText("All is well")

	send := func(node string) {
		tab.Open("/workflows/where")
		tab.Click("Run now")
		browsertest.Eval[bool](tab, "document.getElementById('run-on').value = "+strconv.Quote("node:"+node)+", true")
		tab.Follow("Run where")
		tab.AwaitText("running")
	}
	send("db-1")
	send("db-2")
	tab.AwaitText("look waits for the lock tape, which where.look on db-1 has held since")
	run := tab.Path()
	tab.Open("/system")
	tab.Await("the lock", "/tape[^]*where.look on db-1[^]*where.look on db-2/.test(document.querySelector('[aria-labelledby=locks]').innerText)")
	look(t, tab, "nodes-locks")
	badge := func(state string) {
		t.Helper()
		tab.Await("the run is "+state, "document.querySelector('.head .badge').innerText.includes("+strconv.Quote(state)+")")
	}
	// What a job on the other node writes is seen while it runs, and its end too.
	put(t, here, "release")
	tab.Open(run)
	tab.AwaitText("waits for release")
	badge("running")
	put(t, there, "release")
	badge("succeeded")
	tab.AwaitText("looked")
	if facts := browsertest.Eval[string](tab, "document.querySelector('[aria-labelledby=facts]').innerText"); !strings.Contains(facts, "db-2") {
		t.Errorf("a run that was sent to db-2 ran elsewhere:\n%s", facts)
	}
	if strings.Contains(tab.Text(), "The same slot on all nodes") {
		t.Error("a run of one node stands beside others")
	}
	if err := os.Remove(filepath.Join(there.Dir, "release")); err != nil {
		t.Fatal(err)
	}
	send("db-2")
	tab.AwaitText("waits for release")
	browsertest.Eval[bool](tab, "window.confirm = () => true, true")
	tab.Follow("Cancel")
	badge("canceled")
}

// look looks at a page as the pages of one node are looked at.
func look(t *testing.T, tab *browsertest.Tab, name string) {
	t.Helper()
	check(t, tab, name)
	tab.Accessible()
	tab.Shoot(name)
	tab.Size(390, 844)
	tab.Frame()
	if wide := browsertest.Eval[string](tab, tooWide); wide != "" {
		t.Errorf("%s is wider than a phone: %s", name, wide)
	}
	tab.Shoot(name + "-phone")
	tab.Size(1280, 900)
}
