package service_test

import (
	"testing"
	"time"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/runner"
)

func TestPatienceWith(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		usual runner.Usual
		want  time.Duration
	}{
		"never seen":          {runner.Usual{}, 24 * time.Hour},
		"hardly known":        {runner.Usual{Runs: 2, Longest: time.Second}, 24 * time.Hour},
		"a matter of seconds": {runner.Usual{Runs: 20, Longest: 3 * time.Second}, time.Hour},
		"a matter of hours":   {runner.Usual{Runs: 3, Median: time.Hour, Longest: 2 * time.Hour}, 8 * time.Hour},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := service.PatienceWith(tt.usual); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
