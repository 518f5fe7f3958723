package pages_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/pages"
)

// member is a node that is there.
func member(name string, labels ...string) api.Member {
	return api.Member{
		Name: name, State: api.MemberAlive, Host: name + ".example", PID: 17, Version: "1.2.3", Labels: labels, FirstSeen: ago(48 * time.Hour), LastSeen: ago(time.Second),
		StartedAt: new(ago(5 * time.Hour)), LeaseUntil: new(now().Add(12 * time.Second)), Config: strings.Repeat("ab", 32), ConfigPath: "/etc/upkeep/upkeep.yaml", Web: "https://" + name + ".example:8620",
	}
}

// several are nodes of which one is absent, one drains and is newer, and one has
// a configuration of its own.
func several() []api.Member {
	list := []api.Member{member("db-1", "db"), member("db-2", "db", "gpu"), member("db-3"), member("db-4", "db")}
	list[0].Running = 1
	list[1].State, list[1].Version = api.MemberDraining, "1.3.0"
	list[2].Drift, list[2].Config = true, strings.Repeat("cd", 32)
	gone := &list[3]
	gone.State, gone.PID, gone.StartedAt, gone.LeaseUntil, gone.Config, gone.LastSeen, gone.Running = api.MemberAbsent, 0, nil, new(ago(time.Hour)), "", ago(time.Hour), 2
	return list
}

// withMembers is the usual desk of a system with these nodes.
func withMembers(list ...api.Member) *world {
	w := usualDesk("offsite", "a usual text")
	w.answers["/nodes"] = api.Nodes{Nodes: []api.Node{{Instance: "i", Name: "db-1", Alive: true}}, Members: list}
	w.answers["/health"] = api.Health{Status: "ok", Checks: []api.StatusCheck{}}
	running := record(runningRun, "hourly", runner.Running, time.Minute)
	w.answers["/runs?state=running"] = api.Runs{Runs: []api.RunRecord{running}}
	return w
}

// TestSystem_Nodes shows the nodes of a system that has several.
func TestSystem_Nodes(t *testing.T) {
	t.Parallel()
	body := page(t, withMembers(several()...), "/system")
	checkHTML(t, "nodes", body)
	table := between(body, `<h2 id="nodes">`, "</section>")
	says(t, table, "4 nodes: 1 absent, 1 draining and 2 alive; 2 versions of upkeep at work; 1 configuration unlike that of the others", "answers here", "db, gpu", "lease ends in 12 s",
		"its lease ended 1 h ago", "seen <time", ">1 h ago</time>", ">today 03:00</time>", "≠", `<b class="toned" data-tone="warn">1.3.0</b>`, `href="https://db-2.example:8620"`, `action="/do/nodes/db-4/forget"`, `<a href="/runs/`+runningRun+`">hourly</a>`)
	saysNot(t, table, `action="/do/nodes/db-1/forget"`, `<b class="toned" data-tone="warn">1.2.3</b>`)
	if strings.Index(table, "node-db-4") > strings.Index(table, "node-db-1") {
		t.Error("who is absent does not stand first")
	}
	says(t, between(body, `<section class="verdict"`, "</section>"), `data-tone="warn"`, "the nodes want a look")
	w := withMembers(several()...)
	status := w.answers["/status"].(api.Status)
	status.Node, status.Problems = "db-2", []api.StatusCheck{{Name: "cluster", Text: "node db-4: away for more than 2m; `upkeep nodes forget` if for good"}}
	w.answers["/status"] = status
	overview := page(t, w, "/")
	says(t, overview, "</time> on db-1")
	says(t, overview, "node db-4: away for more than 2m; <code>upkeep nodes forget</code> if for good", "/system#nodes")

	well := page(t, withMembers(member("db-1"), member("db-2")), "/system")
	says(t, between(well, `<section class="verdict"`, "</section>"), `data-tone="good"`, "2 nodes: 2 alive.")
	saysNot(t, page(t, withMembers(member("db-1"), member("db-2")), "/"), "/system#nodes")
}

// TestSystem_OneNode: what only systems of several nodes need stands nowhere.
func TestSystem_OneNode(t *testing.T) {
	t.Parallel()
	alone := member("db-1", "db")
	alone.Drift = true // of nobody
	for _, list := range [][]api.Member{nil, {alone}} {
		w := withMembers(list...)
		saysNot(t, page(t, w, "/system"), `id="nodes"`, `href="#nodes"`, `id="processes"`)
		saysNot(t, page(t, w, "/workflows/daily"), `name="on"`)
		saysNot(t, page(t, w, "/"), "/system#nodes")
	}
}

// TestSystem_ManyNodes: with more nodes than anybody reads those that want a look
// are listed, and the rest is counted.
func TestSystem_ManyNodes(t *testing.T) {
	t.Parallel()
	var list []api.Member
	for i := range 400 {
		m := member(fmt.Sprintf("n-%04d", i), fmt.Sprintf("rack-%d", i/40))
		if i%150 == 149 {
			m.State = api.MemberAbsent
		}
		list = append(list, m)
	}
	w := withMembers(list...)
	for address, words := range map[string][]string{
		"/system":          {"400 nodes: 2 absent and 398 alive", `id="node-n-0299"`, "And 340 more nodes: 340 alive."},
		"/workflows/daily": {`value="label:rack-9"`, `value="every"`},
	} {
		body := page(t, w, address)
		checkHTML(t, address, body)
		says(t, body, words...)
		if len(body) > mostWeight {
			t.Errorf("%s weighs %d bytes", address, len(body))
		}
	}
}

// TestSystem_HostileNodes: what other nodes say of themselves is text.
func TestSystem_HostileNodes(t *testing.T) {
	t.Parallel()
	bad := member(hostileName, hostileName)
	bad.Host, bad.Version, bad.Config, bad.Web = hostile, hostile, hostile, "javascript:alert(1)"
	w := withMembers(member("db-1"), bad)
	for _, address := range []string{"/system", "/", "/workflows/daily"} {
		checkHTML(t, address, page(t, w, address))
	}
}

// TestRunForm_Where: with several nodes one says where a run goes.
func TestRunForm_Where(t *testing.T) {
	t.Parallel()
	w := withMembers(several()...)
	detail, _ := w.answers["/workflows/daily"].(api.WorkflowDetail)
	detail.RunsOn = "db"
	w.answers["/workflows/daily"] = detail
	body := page(t, w, "/workflows/daily")
	checkHTML(t, "where", body)
	choices := between(body, `<select id="run-on" name="on">`, "</select>")
	says(t, choices, `<option value="">where the workflow says: a node labeled db</option>`, `value="any"`, `value="node:db-1"`, `value="label:gpu"`, `value="every"`, `value="every:db"`)
	saysNot(t, choices, "node:db-4", "node:db-2") // absent, and draining
	if strings.Count(choices, `value="label:db"`) != 1 {
		t.Errorf("labels repeat: %s", choices)
	}
	viewer := ask(t, open(t, w, func(o *pages.Options) { o.Who = viewer }), http.MethodGet, "/workflows/daily", "").Body.String()
	saysNot(t, viewer, "run-on")
	checkActions(t, map[string]action{
		"on a node": {"/do/workflows/daily/run", "on=node:db-1", `POST /runs {"workflow":"daily","on":"node:db-1","trigger":"manual"}`, api.RunAccepted{Run: goodRun}, "/runs/" + goodRun, "on its way"},
		"on every": {
			"/do/workflows/daily/run", "on=every", `POST /runs {"workflow":"daily","on":"every","trigger":"manual"}`,
			api.RunAccepted{Run: goodRun, Runs: []api.HostRun{{Run: goodRun, Host: "db-1"}, {Run: failedRun, Host: "db-2"}}},
			"/runs/" + goodRun, "2 runs are on their way, one for each node",
		},
		"forget":        {"/do/nodes/db-4/forget", "back=/system", "DELETE /nodes/db-4 ", api.Forgotten{Name: "db-4"}, "/system", "no longer belongs to the system"},
		"forget, there": {"/do/nodes/db-1/forget", "back=/system", "DELETE /nodes/db-1 ", api.NewProblem(api.CodeSkipped, "", "db-1 is there"), "/system", "db-1 is there"},
	})
}
