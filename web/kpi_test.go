package web_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// kpis answers what it was asked for.
type kpis struct{ f *fake }

var _ web.KPIs = kpis{}

func (k kpis) KPIs(_ context.Context, window time.Duration, rows bool, names ...string) (api.KPIs, error) {
	k.f.mu.Lock()
	defer k.f.mu.Unlock()
	half := 0.5
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	list := api.KPIs{From: at.Add(-window), Until: at, KPIs: []api.KPI{}}
	for _, name := range names {
		one := api.KPI{
			Name: name, Title: name, Unit: "share", Verdict: "met", Value: &half, Low: &half, Text: "50 %",
			More: []api.KPIDetail{{Name: "median", Text: "3"}}, Trend: []*float64{nil, &half}, Rows: []api.KPIRow{},
		}
		if rows {
			one.Rows = append(one.Rows, api.KPIRow{At: at, What: "series", Text: "1"})
		}
		list.KPIs = append(list.KPIs, one)
	}
	return list, k.f.fail
}

func TestKPIs(t *testing.T) {
	t.Parallel()
	d := start(t, newFake())
	f, c := d.fake, d.client
	want, err := kpis{f}.KPIs(t.Context(), 36*time.Hour, true, "uptime", "mttr")
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.KPIs(t.Context(), 36*time.Hour, true, "uptime", "mttr")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err = c.KPIs(t.Context(), 0, false, "uptime"); err != nil || len(got.KPIs) != 1 || len(got.KPIs[0].Rows) != 0 || !got.From.Equal(got.Until) {
		t.Errorf("without a window and rows: %v, %v", got, err)
	}
	for _, window := range []string{"1m", "9999d", "long"} {
		if status, _, _ := ask(t, web.New(f.options()).Handler(), http.MethodGet, "/api/v1/kpis?window="+window, ""); status == http.StatusOK {
			t.Errorf("a window of %s was taken", window)
		}
	}
	f.fail = errors.New("the ledger is gone")
	if _, err := c.KPIs(t.Context(), 0, false, "uptime"); err == nil {
		t.Error("no error")
	}
}
