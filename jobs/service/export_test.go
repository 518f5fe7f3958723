package service

import "github.com/ghosteam/upkeep/jobs"

// RunIn makes a job believe that upkeep runs in a unit.
func RunIn(job jobs.Job, unit string) {
	job.(*service).own = func() (string, error) { return unit, nil }
}

// ReadShow reads what systemctl show says.
func ReadShow(text string) (active string, restarts uint64, err error) {
	s, err := readShow(text)
	return s.Active, s.Restarts, err
}
