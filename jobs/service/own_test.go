package service_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/service"
)

func TestRun_StandIn_OwnUnit(t *testing.T) {
	t.Parallel()
	units := map[string]*fakeUnit{"upkeep.service": running(10), "api.service": running(20)}
	units["upkeep.service"].script = []outcome{{}}
	s := startStandIn(t, units)
	a := attemptOn(t, s, jobs.Hooks{}, restart("upkeep", "api"))
	service.RunIn(a.job, "upkeep.service")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("upkeep ends")
	go func() {
		for len(s.asked()) < 2 {
			time.Sleep(5 * time.Millisecond)
		}
		cancel(stop)
	}()
	if _, err := a.job.Run(ctx, a.env); !errors.Is(err, stop) {
		t.Fatalf("error %v\n%s", err, a.out)
	}
	if diff := cmp.Diff([]string{"restart api.service", "restart upkeep.service"}, s.asked()); diff != "" || !slices.Equal(a.planned, []string{"restart upkeep.service"}) {
		t.Fatalf("planned %q, asked: %s", a.planned, diff)
	}
	survivor, ok := a.job.(jobs.Survivor)
	if !ok {
		t.Fatal("the job survives nothing")
	}
	if _, err := survivor.Judge(t.Context(), a.env, time.Now()); err == nil || !strings.Contains(err.Error(), "upkeep.service was not restarted") {
		t.Errorf("error %v", err)
	}
	s.change("upkeep.service", func(u *fakeUnit) { u.apply("restart", outcome{result: "done"}) })
	r, err := survivor.Judge(t.Context(), a.env, time.Now())
	if err != nil || r.Values["done"] != 2 || len(r.Events) != 2 || r.Summary != "upkeep.service, api.service restarted and verified" {
		t.Errorf("%v, %v, %v, %q", err, r.Values, r.Events, r.Summary)
	}
	a = attemptOn(t, s, jobs.Hooks{}, func(o *service.Options) { o.Stop = unit.Names{"upkeep"} })
	service.RunIn(a.job, "upkeep.service")
	a.fails(t, "refused by own")
}

func TestRun_StandIn_UnitThatUpkeepNeeds(t *testing.T) {
	t.Parallel()
	units := map[string]*fakeUnit{"postgresql.service": running(10)}
	units["postgresql.service"].requiredBy = []string{"app.service", "upkeep.service"}
	s := startStandIn(t, units)
	a := attemptOn(t, s, jobs.Hooks{}, func(o *service.Options) {
		o.Restart, o.Takes = unit.Names{"postgresql"}, unit.Duration(200*time.Millisecond)
	})
	service.RunIn(a.job, "upkeep.service")
	a.fails(t, "was not restarted within 200ms") // the stand-in does not end this process
	if !slices.Equal(a.planned, []string{"restart postgresql.service"}) {
		t.Errorf("planned %q", a.planned)
	}
	a = attemptOn(t, s, jobs.Hooks{}, func(o *service.Options) { o.Stop = unit.Names{"postgresql"} })
	service.RunIn(a.job, "upkeep.service")
	a.fails(t, "refused by own")
}
