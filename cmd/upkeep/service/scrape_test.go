package service_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// Each application is read by one of the nodes that are there, on each of which
// the others know who.
func TestScrape_OneNodeReads(t *testing.T) {
	t.Parallel()
	var scrapes []configs.Scrape
	for i := range 20 {
		scrapes = append(scrapes, configs.Scrape{Name: fmt.Sprint("app-", i)})
	}
	on := func(dialect, node string, members ...ledger.Member) []string {
		return service.Scraped(&configs.Config{Node: node, Ledger: configs.Ledger{Dialect: dialect}, Scrapes: scrapes}, members)
	}
	if got := on("sqlite", "a"); len(got) != len(scrapes) {
		t.Errorf("the only node reads %v", got)
	}
	if got := on("postgres", "a"); len(got) != 0 {
		t.Errorf("a node that does not know who is there reads %v", got)
	}
	for _, away := range []string{"", "a", "c"} {
		var members []ledger.Member
		for _, name := range []string{"a", "b", "c"} {
			members = append(members, ledger.Member{Name: name, Alive: name != away})
		}
		readers := map[string]int{}
		for _, m := range members {
			list := on("postgres", m.Name, members...)
			if !m.Alive && len(list) > 0 {
				t.Errorf("%s is away and reads %v", m.Name, list)
			}
			if m.Alive && (len(list) == 0 || len(list) == len(scrapes)) {
				t.Errorf("without %q: %s reads %d of %d", away, m.Name, len(list), len(scrapes))
			}
			for _, name := range list {
				readers[name]++
			}
		}
		for _, s := range scrapes {
			if readers[s.Name] != 1 {
				t.Errorf("without %q: %d nodes read %s", away, readers[s.Name], s.Name)
			}
		}
	}
}

// TestNodes_Scrape: what an application counts is on record once, whichever node
// reads it, and goes on when that one is gone.
func TestNodes_Scrape(t *testing.T) {
	t.Parallel()
	dsn, shared := ledgertest.Postgres(t), t.TempDir()
	var asked [2]atomic.Int32
	var apps [2]string
	for i := range apps {
		// Each node has an address of its own, so that the application knows it.
		app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "# TYPE requests counter\nrequests %d\n", 100*asked[i].Add(1))
		}))
		t.Cleanup(app.Close)
		apps[i] = app.URL
	}
	more := func(i int) string { return "scrape: {api: {url: \"" + apps[i] + "\", every: 1s, timeout: 1s}}\n" }
	nodes := []*node{startNode(t, dsn, "a", shared, more(0)), startNode(t, dsn, "b", shared, more(1))}
	r := openRecord(t, dsn)
	members, err := r.Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reads := func(i int) bool {
		cfg := &configs.Config{Node: nodes[i].name, Ledger: configs.Ledger{Dialect: "postgres"}, Scrapes: []configs.Scrape{{Name: "api"}}}
		return slices.Contains(service.Scraped(cfg, members), "api")
	}
	owner := 0
	if reads(1) {
		owner = 1
	}
	// Until the first knows of the second it reads too.
	var at int32
	eventually(t, "only the owner reads", func() bool {
		at = asked[1-owner].Load()
		before := asked[owner].Load()
		eventually(t, "the owner reads", func() bool { return asked[owner].Load() > before+2 })
		return asked[1-owner].Load() == at
	})
	if err := nodes[owner].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other takes over", func() bool { return asked[1-owner].Load() > at+2 })
	series, err := r.Series(t.Context(), "scrape.api.")
	if err != nil || !slices.ContainsFunc(series, func(s runner.Series) bool { return strings.HasSuffix(s.Name, ".up") }) {
		t.Errorf("series %v, %v", series, err)
	}
}
