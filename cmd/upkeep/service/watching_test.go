package service_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// shares returns the checks of a configuration as a node sees them: by name, with
// the other node that asks it or, for its own, "me".
func shares(node string, labels []string, checks []configs.Check, members ...ledger.Member) map[string]string {
	cfg := &configs.Config{Node: node, Labels: labels, Ledger: configs.Ledger{Dialect: "postgres"}, Checks: checks}
	list := map[string]string{}
	for _, c := range service.Instances(cfg, members) {
		list[c.Name] = c.Node
		if c.Node == "" {
			list[c.Name] = "me"
		}
	}
	return list
}

func TestInstances_OneNodeAsks(t *testing.T) {
	t.Parallel()
	checks := []configs.Check{
		{Name: "db"},
		{Name: "api", DependsOn: []string{"db"}},
		{Name: "web", DependsOn: []string{"api"}},
		{Name: "alone"},
		{Name: "gpu", RunsOn: configs.RunsOn{Label: "gpu"}},
		{Name: "none", RunsOn: configs.RunsOn{Label: "none"}},
	}
	names := []string{"a", "b", "c", "d"}
	labels := map[string][]string{"c": {"gpu"}}
	for gone := -1; gone < len(names); gone++ {
		var members []ledger.Member
		for i, name := range names {
			members = append(members, ledger.Member{Name: name, Labels: labels[name], Alive: i != gone})
		}
		owners := map[string][]string{}
		for i, name := range names {
			if i == gone {
				continue
			}
			for check, by := range shares(name, labels[name], checks, members...) {
				if by == "me" {
					owners[check] = append(owners[check], name)
				}
			}
		}
		for _, check := range []string{"db", "api", "web", "alone", "gpu"} {
			want := 1
			if check == "gpu" && gone == 2 {
				want = 0
			}
			if len(owners[check]) != want {
				t.Errorf("without %d: %s is asked by %v", gone, check, owners[check])
			}
		}
		if owners["none"] != nil {
			t.Errorf("a label that nobody has is asked by %v", owners["none"])
		}
		if !cmp.Equal(owners["db"], owners["api"]) || !cmp.Equal(owners["db"], owners["web"]) {
			t.Errorf("without %d: checks that depend on each other are asked apart: %v", gone, owners)
		}
	}
}

func TestInstances_EachNodeItsOwn(t *testing.T) {
	t.Parallel()
	checks := []configs.Check{
		{Name: "system", RunsOn: configs.RunsOn{EveryNode: true}},
		{Name: "disk", RunsOn: configs.RunsOn{EveryNode: true, Label: "db"}, DependsOn: []string{"system"}},
	}
	members := []ledger.Member{{Name: "a", Alive: true}, {Name: "DB 1.example.org", Labels: []string{"db"}, Alive: false}}
	want := map[string]string{"system@a": "me", "system@db-1.example.org": "DB 1.example.org", "disk@db-1.example.org": "DB 1.example.org"}
	if diff := cmp.Diff(want, shares("a", nil, checks, members...)); diff != "" {
		t.Error(diff)
	}
	// One that is not on the list yet asks its own, and nothing has another name
	// on a ledger that is a file.
	want = map[string]string{"system@a": "a", "system@db-1.example.org": "DB 1.example.org", "disk@db-1.example.org": "DB 1.example.org", "system@new": "me"}
	if diff := cmp.Diff(want, shares("new", nil, checks, members...)); diff != "" {
		t.Error(diff)
	}
	file := &configs.Config{Node: "a", Ledger: configs.Ledger{Dialect: "sqlite"}, Checks: checks}
	if list := service.Instances(file, nil); len(list) != 1 || list[0].Name != "system" || list[0].Node != "" {
		t.Errorf("on a file: %+v", list)
	}
}

func TestParseDestination(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]service.Destination{
		"any": {}, "every": {Every: true}, "every:db": {Every: true, Label: "db"}, "every:label:db": {Every: true, Label: "db"},
		"label:db": {Label: "db"}, "db-1": {Node: "db-1"}, "node:every": {Node: "every"},
	} {
		got, err := service.ParseDestination(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	for _, text := range []string{"", "label:", "every:", "node:"} {
		if got, err := service.ParseDestination(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}
