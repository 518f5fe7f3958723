package pgbackup_test

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/storage/object"
)

// judge looks at what there is right after the blow.
func (s *scene) judge() {
	s.t.Helper()
	s.quiet()
	if s.gate != nil {
		s.gate.Mend()
	}
	artifacts := s.whole()
	made := 0
	for _, a := range artifacts {
		if a.Manifest.Run == s.run.Run {
			made++
		}
	}
	older := len(artifacts) - made
	s.t.Logf("%d artifacts, %d of them new; the run: %v", len(artifacts), made, s.err)
	if older < 1 || older < 2 && made == 0 {
		s.t.Errorf("%d older artifacts and %d new ones are left", older, made)
	}
	if s.err == nil && made != 1 {
		s.t.Error("the run succeeded without an artifact")
	}
	if made > 0 && !s.at.made && s.err != nil {
		s.t.Errorf("an artifact can be seen of a run that failed: %v", s.err)
	}
	if s.stayed && s.blow.survived != nil {
		if survived := s.blow.survived(s.at); survived != (s.err == nil) {
			s.t.Errorf("it returned %v", s.err)
		}
	}
	reachable := s.stayed && (s.gate == nil || s.blow.bend == nil) || s.blow.signal == syscall.SIGTERM
	if s.err != nil && made == 0 && reachable {
		s.nothingHalf() // who could clear up has done so at once
	}
}

// quiet wants no process and no session of the run.
func (s *scene) quiet() {
	s.t.Helper()
	admin := pgtest.Connect(s.t, pgtest.URL(s.t, ""))
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		sessions := pgtest.Ask[int64](s.t, admin, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", "upkeep "+s.run.Run)
		left := append(ours(s.t, s.run.Run, "pg_dump"), ours(s.t, s.run.Run, "pg_restore")...)
		if sessions == 0 && len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d sessions and the processes %v stay", sessions, left)
		}
	}
}

// whole returns the artifacts, each proven in full.
func (s *scene) whole() []*object.Artifact {
	s.t.Helper()
	var out []*object.Artifact
	for a, err := range object.Artifacts(s.t.Context(), s.direct, "") {
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := prove(s.t, a, object.L2); err != nil {
			s.t.Errorf("artifact %s of run %s: %v", a.Manifest.ID, a.Manifest.Run, err)
		}
		out = append(out, a)
	}
	return out
}

// nothingHalf wants whole artifacts in the store and nothing beside them.
func (s *scene) nothingHalf() {
	s.t.Helper()
	for dir, names := range s.folders() {
		a, err := object.Load(s.t.Context(), s.direct, dir+"/manifest.json")
		if err != nil {
			s.t.Errorf("%s holds %q: %v", dir, names, err)
			continue
		}
		wanted := []string{"manifest.json"}
		for _, stream := range a.Manifest.Streams {
			for _, part := range stream.Parts {
				wanted = append(wanted, part.Name)
			}
		}
		slices.Sort(wanted)
		if !slices.Equal(names, wanted) {
			s.t.Errorf("%s holds %q, not %q", dir, names, wanted)
		}
	}
	// And with other eyes than ours: what lies on the disk below the store.
	err := filepath.WalkDir(s.dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasPrefix(path.Base(name), object.ReservedPrefix) || strings.Contains(name, "uploads/") || strings.Contains(name, "/multipart/") {
			s.t.Errorf("left on the disk: %s", name)
		}
		return nil
	})
	if err != nil {
		s.t.Error(err)
	}
}

// converge runs the job again, undisturbed: at once when it is certain that
// whoever was at work is dead, and else two days later.
func (s *scene) converge() {
	s.t.Helper()
	if s.gate != nil || s.blow.signal != syscall.SIGKILL {
		s.aged()
	}
	_, small := sources(s.t)
	b := benchOn(s.t, small)
	b.store, b.options.Keep.Last = s.direct, 2
	if _, err := b.run(s.t.Context()); err != nil {
		s.t.Fatalf("the next run: %v", err)
	}
	artifacts := s.whole()
	if len(artifacts) != 2 || artifacts[1].Manifest.Run != b.runID {
		s.t.Errorf("%d artifacts after the next run", len(artifacts))
	}
	s.nothingHalf()
	if sweeper, ok := s.direct.(object.Sweeper); ok {
		left, err := sweeper.Unfinished(s.t.Context(), time.Now().Add(time.Hour))
		if err != nil || len(left) > 0 {
			s.t.Errorf("unfinished: %v, %v", left, err)
		}
	}
	if left, err := os.ReadDir(s.tmp); err != nil || len(left) > 0 {
		s.t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
}
