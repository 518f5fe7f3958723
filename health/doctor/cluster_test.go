package doctor_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/health/doctor"
)

func TestMembers(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		list     []doctor.Member
		unserved []string
		want     []string
	}{
		"nobody": {},
		"well":   {list: []doctor.Member{{Name: "a", Version: "1", Alive: true}, {Name: "b", Version: "1", Alive: true}}},
		"a restart": {list: []doctor.Member{
			{Name: "a", Version: "1", Alive: true}, {Name: "b", Version: "1", LastSeen: now.Add(-time.Minute)},
		}},
		"all at once": {
			list: []doctor.Member{
				{Name: "a", Version: "1", Alive: true}, {Name: "b", Version: "2", Alive: true, Drift: true}, {Name: "c", Version: "0", LastSeen: now.Add(-time.Hour)},
			},
			want: []string{"absent-c", "drift-b", "versions"},
		},
		"a label that nobody has": {
			list: []doctor.Member{{Name: "a", Version: "1", Alive: true}}, unserved: []string{"label db: workflow backup"}, want: []string{"labels"},
		},
	} {
		found, err := doctor.Members(func(context.Context) (doctor.Cluster, error) {
			return doctor.Cluster{Members: c.list, Unserved: c.unserved}, nil
		}, func() time.Time { return now }).Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, f := range found.Findings {
			ids = append(ids, f.ID)
		}
		slices.Sort(ids)
		if diff := cmp.Diff(c.want, ids); diff != "" || len(found.Lines) != len(c.list) {
			t.Errorf("%s: %s\n%v", name, diff, found.Lines)
		}
	}
	broken := errors.New("away")
	if _, err := doctor.Members(func(context.Context) (doctor.Cluster, error) { return doctor.Cluster{}, broken }, time.Now).Look(t.Context()); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
