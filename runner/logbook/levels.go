package logbook

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Levels are the thresholds of the loggers, by name. Its methods may be called
// from several goroutines.
//
// A threshold holds for a logger of its name and for those below it: that of
// http also for http.access. The longest name decides; the root decides where
// none fits.
type Levels struct {
	now func() time.Time
	// table is what holds now; reading it takes no lock.
	table atomic.Pointer[table]

	mu         sync.Mutex
	root       slog.Level
	named      map[string]slog.Level
	exceptions map[string]exception
}

// Root names the threshold that decides where no other one fits.
const Root = ""

// exception is a threshold for a while.
type exception struct {
	level slog.Level
	// until is when it ends; zero for never.
	until time.Time
	timer *time.Timer
}

// table are the thresholds that hold now.
type table map[string]slog.Level

// NewLevels makes thresholds.
func NewLevels(root slog.Level, named map[string]slog.Level) *Levels {
	l := &Levels{now: time.Now, exceptions: map[string]exception{}}
	l.Configure(root, named)
	return l
}

// Configure replaces the thresholds. Exceptions stay until they end.
func (l *Levels) Configure(root slog.Level, named map[string]slog.Level) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.root, l.named = root, maps.Clone(named)
	l.settle()
}

// settle puts the thresholds into force. The caller holds mu.
func (l *Levels) settle() {
	now := table{Root: l.root}
	maps.Copy(now, l.named)
	for name, e := range l.exceptions {
		now[name] = e.level
	}
	l.table.Store(&now)
}

// Of returns the threshold of a logger.
func (l *Levels) Of(logger string) slog.Level {
	now := *l.table.Load()
	for name := logger; name != Root; {
		if level, ok := now[name]; ok {
			return level
		}
		dot := strings.LastIndexByte(name, '.')
		if dot < 0 {
			break
		}
		name = name[:dot]
	}
	return now[Root]
}

// Set makes an exception for a logger, or for Root: for a while, or for good
// when that is 0. It takes the place of an earlier one. It returns when it ends,
// the zero time for never.
func (l *Levels) Set(logger string, level slog.Level, lasts time.Duration) (until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.exceptions[logger]; ok && old.timer != nil {
		old.timer.Stop()
	}
	e := exception{level: level}
	if lasts > 0 {
		e.until = l.now().Add(lasts)
		e.timer = time.AfterFunc(lasts, func() { l.expire(logger, e.until) })
	}
	l.exceptions[logger] = e
	l.settle()
	return e.until
}

// expire ends an exception unless another one took its place.
func (l *Levels) expire(logger string, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.exceptions[logger].until.Equal(until) {
		delete(l.exceptions, logger)
		l.settle()
	}
}

// Reset ends the exception of a logger and tells whether there was one.
func (l *Levels) Reset(logger string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.exceptions[logger]
	if ok && e.timer != nil {
		e.timer.Stop()
	}
	delete(l.exceptions, logger)
	l.settle()
	return ok
}

// Threshold is one threshold.
type Threshold struct {
	// Logger is the name; Root for all that have no other.
	Logger string
	// Level holds now. Configured is what the configuration says, which holds
	// again after an exception; nil when it says nothing.
	Level      slog.Level
	Configured *slog.Level
	// Exception tells that somebody changed it; Until is when that ends, zero for
	// never.
	Exception bool
	Until     time.Time
}

// List returns all thresholds, that of Root first, the others by name.
func (l *Levels) List() []Threshold {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := *l.table.Load()
	list := make([]Threshold, 0, len(now))
	for _, name := range slices.Sorted(maps.Keys(now)) {
		t := Threshold{Logger: name, Level: now[name]}
		if level, ok := l.named[name]; ok {
			t.Configured = &level
		} else if name == Root {
			t.Configured = new(l.root)
		}
		if e, ok := l.exceptions[name]; ok {
			t.Exception, t.Until = true, e.until
		}
		list = append(list, t)
	}
	return list
}

// words are the names of the levels.
func words() map[string]slog.Level {
	return map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
}

// ParseLevel reads debug, info, warn or error.
func ParseLevel(word string) (slog.Level, error) {
	level, ok := words()[word]
	if !ok {
		return 0, fmt.Errorf("%q is not a level: use debug, info, warn or error", word)
	}
	return level, nil
}

// Word writes a level as ParseLevel reads it: the highest one that is not above
// it.
func Word(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "error"
	case level >= slog.LevelWarn:
		return "warn"
	case level >= slog.LevelInfo:
		return "info"
	}
	return "debug"
}
