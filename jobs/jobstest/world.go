package jobstest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
)

// world is everything that a job could have changed.
type world struct {
	Files  map[string]string
	Stores map[string]map[string]string
	Other  any
}

func (s *stage) world(t *testing.T) world {
	t.Helper()
	w, err := s.look(t)
	if err != nil {
		t.Fatalf("look at the world: %v", err)
	}
	return w
}

// look is world for other goroutines than the test's own.
func (s *stage) look(t *testing.T) (world, error) {
	t.Helper()
	files, err := tree(s.root)
	if err != nil {
		return world{}, fmt.Errorf("describe %s: %w", s.root, err)
	}
	stores, err := s.deps.contents()
	if err != nil {
		return world{}, err
	}
	w := world{Files: files, Stores: stores}
	if s.fixture.World != nil {
		w.Other = s.fixture.World(t)
	}
	return w, nil
}

// gate looks at the world before and after each effect: it must only change in
// between. Times of folders do not count, because even reading may leave and
// remove a file in one, as SQLite does.
type gate struct {
	look func() (world, error)

	mu    sync.Mutex
	open  int // effects under way
	last  world
	wrong []string
}

// watched runs the job and proves that the world changes in effects only.
func (s *stage) watched(t *testing.T) outcome {
	t.Helper()
	g := &gate{look: func() (world, error) { return s.look(t) }, last: withoutFolderTimes(s.world(t))}
	o := s.run(t.Context(), t, jobs.Hooks{Effect: g.before, Effected: g.after})
	g.compare("after the last effect")
	for _, text := range g.wrong {
		t.Error(text)
	}
	return o
}

func (g *gate) before(what string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == 0 {
		g.compare(fmt.Sprintf("before the effect %q", what))
	}
	g.open++
}

func (g *gate) after(string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if g.open > 0 {
		return
	}
	now, err := g.look()
	if err != nil {
		g.wrong = append(g.wrong, fmt.Sprintf("look at the world: %v", err))
		return
	}
	g.last = withoutFolderTimes(now)
}

func (g *gate) compare(when string) {
	now, err := g.look()
	if err != nil {
		g.wrong = append(g.wrong, fmt.Sprintf("look at the world %s: %v", when, err))
		return
	}
	now = withoutFolderTimes(now)
	if diff := cmp.Diff(g.last, now); diff != "" {
		g.wrong = append(g.wrong, fmt.Sprintf("the world changed outside Env.Effect, %s (-before +after):\n%s", when, diff))
	}
	g.last = now
}

func withoutFolderTimes(w world) world {
	for name, text := range w.Files {
		if strings.HasPrefix(text, "d") {
			w.Files[name], _, _ = strings.Cut(text, " ")
		}
	}
	return w
}
