package service

import (
	"context"
	"errors"

	"github.com/ghosteam/upkeep/jobs"
)

// RunIn makes a job believe that upkeep runs in a unit.
func RunIn(job jobs.Job, unit string) {
	job.(*service).own = func() (string, error) { return unit, nil }
}

// WithoutBus makes a job find no D-Bus.
func WithoutBus(job jobs.Job) {
	job.(*service).dial = func(context.Context, string) (control, error) { return nil, errors.New("there is no bus") }
}

// ReadShow reads what systemctl show says.
func ReadShow(text string) (active string, restarts uint64, err error) {
	s, err := readShow(text)
	return s.Active, s.Restarts, err
}
