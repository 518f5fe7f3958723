package logbook_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ghosteam/upkeep/runner/logbook"
)

// The longest name decides.
func TestLevels_Of(t *testing.T) {
	t.Parallel()
	l := logbook.NewLevels(slog.LevelInfo, map[string]slog.Level{"http": slog.LevelWarn, "http.access": slog.LevelError, "ticker": slog.LevelDebug})
	for logger, want := range map[string]slog.Level{
		"": slog.LevelInfo, "executor": slog.LevelInfo, "http": slog.LevelWarn, "http.client": slog.LevelWarn, "http.client.pool": slog.LevelWarn,
		"http.access": slog.LevelError, "http.access.x": slog.LevelError, "httpd": slog.LevelInfo, "ticker": slog.LevelDebug, ".": slog.LevelInfo,
	} {
		if got := l.Of(logger); got != want {
			t.Errorf("%q: %v, want %v", logger, got, want)
		}
	}
}

// An exception ends by itself, and the configuration holds again, also one that
// came meanwhile.
func TestLevels_Set(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := logbook.NewLevels(slog.LevelInfo, map[string]slog.Level{"http": slog.LevelWarn})
		began := time.Now()
		if until := l.Set(logbook.Root, slog.LevelDebug, 10*time.Minute); !until.Equal(began.Add(10 * time.Minute)) {
			t.Errorf("until %v", until)
		}
		l.Set("http", slog.LevelDebug, time.Minute)
		l.Set("http", slog.LevelError, time.Hour) // in its place
		if !l.Set("ticker", slog.LevelDebug, 0).IsZero() {
			t.Error("for good has an end")
		}
		check := func(root, http, ticker slog.Level) {
			t.Helper()
			synctest.Wait()
			if l.Of("") != root || l.Of("http") != http || l.Of("ticker") != ticker {
				t.Errorf("after %v: %v %v %v", time.Since(began), l.Of(""), l.Of("http"), l.Of("ticker"))
			}
		}
		check(slog.LevelDebug, slog.LevelError, slog.LevelDebug)
		time.Sleep(2 * time.Minute)
		check(slog.LevelDebug, slog.LevelError, slog.LevelDebug)
		l.Configure(slog.LevelError, nil)
		check(slog.LevelDebug, slog.LevelError, slog.LevelDebug)
		time.Sleep(8*time.Minute - time.Nanosecond)
		check(slog.LevelDebug, slog.LevelError, slog.LevelDebug)
		time.Sleep(time.Nanosecond)
		check(slog.LevelError, slog.LevelError, slog.LevelDebug)
		if !l.Reset("ticker") || l.Reset("ticker") {
			t.Error("an exception is ended once")
		}
		check(slog.LevelError, slog.LevelError, slog.LevelError)
		if list := l.List(); len(list) != 2 || list[0].Logger != "" || !list[1].Exception || list[1].Logger != "http" || list[1].Configured != nil {
			t.Errorf("%+v", list)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if list := l.List(); len(list) != 1 || list[0].Exception || *list[0].Configured != slog.LevelError {
			t.Errorf("%+v", list)
		}
	})
}

func TestParseLevel(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"debug", "info", "warn", "error"} {
		level, err := logbook.ParseLevel(word)
		if err != nil || logbook.Word(level) != word {
			t.Errorf("%s: %v %v", word, level, err)
		}
	}
	for _, word := range []string{"", "DEBUG", "warning", "loud"} {
		if _, err := logbook.ParseLevel(word); err == nil {
			t.Errorf("%q is a level", word)
		}
	}
}
