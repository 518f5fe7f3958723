package health_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/runner"
)

// letters are answers, one letter each.
var letters = map[rune]runner.Health{
	'h': runner.Healthy, 'w': runner.HealthWarning, 'c': runner.HealthCritical, 'u': runner.HealthUnknown, '-': runner.HealthUnknown,
}

// answers makes answers of letters; a dash is one that does not count.
func answers(text string) []health.Outcome {
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	var list []health.Outcome
	for i, letter := range text {
		list = append(list, health.Outcome{Health: letters[letter], Void: letter == '-', At: at.Add(time.Duration(i) * time.Second)})
	}
	return list
}

// short writes where a check stands as two letters: phase and health.
func short(list []health.Standing) string {
	var words []string
	for _, s := range list {
		words = append(words, strings.ToUpper(string(s.Phase[:1]))+string(s.Health[:1]))
	}
	return strings.Join(words, " ")
}

func TestStanding(t *testing.T) {
	t.Parallel()
	// Phases are Well, Suspect, Failing, Recovering; fail_after 3, ok_after 2.
	tests := map[string]struct{ answers, want string }{
		"well":                               {"hhh", "Wh Wh Wh"},
		"one bad answer is nothing":          {"hch", "Wh Sh Wh"},
		"two bad answers are nothing":        {"hcchc", "Wh Sh Sh Wh Sh"},
		"three in a row":                     {"hccc", "Wh Sh Sh Fc"},
		"nothing is known before the first":  {"cch", "Su Su Wh"},
		"and back":                           {"hccchh", "Wh Sh Sh Fc Rc Wh"},
		"recovery that breaks":               {"hccchchh", "Wh Sh Sh Fc Rc Fc Rc Wh"},
		"warning":                            {"hwww", "Wh Sh Sh Fw"},
		"mixed is at least a warning":        {"hwcw", "Wh Sh Sh Fw"},
		"two critical, then less":            {"hccw", "Wh Sh Sh Fw"},
		"a warning becomes critical":         {"hwwwccc", "Wh Sh Sh Fw Fw Fw Fc"},
		"not by two":                         {"hwwwccwcc", "Wh Sh Sh Fw Fw Fw Fw Fw Fw"},
		"critical becomes a warning":         {"hcccww", "Wh Sh Sh Fc Rc Fw"},
		"around the limit nothing changes":   {"hcccwcwcw", "Wh Sh Sh Fc Rc Fc Rc Fc Rc"},
		"a good and a warning, turn by turn": {"hcccwhwhh", "Wh Sh Sh Fc Rc Rw Fw Rw Wh"},
		"unknown is a fault of its own":      {"huuu", "Wh Sh Sh Fu"},
		"and no proof of a failure":          {"huuc", "Wh Sh Sh Fw"},
		"it breaks no row":                   {"hcucuc", "Wh Sh Sh Fw Fw Fc"},
		"it heals nothing":                   {"hcccuuuu", "Wh Sh Sh Fc Fc Fc Fc Fc"},
		"it breaks a recovery":               {"hccchuhh", "Wh Sh Sh Fc Rc Fc Rc Wh"},
		"a warning that cannot be seen":      {"hwwwuuuw", "Wh Sh Sh Fw Fw Fw Fu Fw"},
		"void answers do not count":          {"hcc---c", "Wh Sh Sh Su Su Su Fc"},
		"nor while it fails":                 {"hccc--hh", "Wh Sh Sh Fc Fu Fu Rc Wh"},
		"nothing but void":                   {"--", "Wu Wu"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := short(health.Walk(3, 2, answers(test.answers)))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.answers, diff)
			}
		})
	}
}

// Whatever is answered, a check fails exactly when so many bad answers in a row
// came since it was well, and is well exactly after so many good ones.
func TestStanding_Property(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		failAfter, okAfter := rapid.IntRange(1, 5).Draw(t, "fail_after"), rapid.IntRange(1, 5).Draw(t, "ok_after")
		text := rapid.StringOfN(rapid.RuneFrom([]rune("hhwccu-")), 1, 60, -1).Draw(t, "answers")
		stands := health.Walk(failAfter, okAfter, answers(text))

		// The oracle counts over the whole past, in words of its own.
		open := false
		bads, goods := 0, 0
		for i, letter := range text {
			switch letter {
			case '-':
			case 'h':
				bads, goods = 0, goods+1
			default:
				bads, goods = bads+1, 0
			}
			switch {
			case letter == '-':
			case !open && bads >= failAfter:
				open = true
			case open && goods >= okAfter:
				open = false
			}
			phase := stands[i].Phase
			if failing := phase == runner.CheckFailing || phase == runner.CheckRecovering; failing != open {
				t.Fatalf("%s after %d answers: %s, but open is %t (fail_after %d, ok_after %d)", text, i+1, phase, open, failAfter, okAfter)
			}
			if stands[i].Health == runner.HealthCritical && !strings.ContainsRune(text[:i+1], 'c') {
				t.Fatalf("%s is critical without a critical answer", text[:i+1])
			}
			if open && letter != '-' && stands[i].Health == runner.Healthy {
				t.Fatalf("%s counts as healthy while it fails", text[:i+1])
			}
		}
	})
}

// A check becomes critical only by fail_after critical answers without a better
// one between.
func TestStanding_CriticalProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		failAfter := rapid.IntRange(1, 4).Draw(t, "fail_after")
		text := rapid.StringOfN(rapid.RuneFrom([]rune("hwccu-")), 1, 40, -1).Draw(t, "answers")
		before, row := false, 0
		for i, s := range health.Walk(failAfter, 2, answers(text)) {
			switch text[i] {
			case 'c':
				row++
			case 'h', 'w':
				row = 0
			}
			now := s.Health == runner.HealthCritical
			if now && !before && row < failAfter && text[i] != '-' && !strings.Contains(text[:i], "-") {
				t.Fatalf("%s is critical after %d critical answers in a row, not %d", text[:i+1], row, failAfter)
			}
			before = now
		}
	})
}

// When the clock is set back or forth, the phases follow the answers all the
// same, and a fault never begins before the last good answer.
func TestStanding_ClockJumps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("hhcw")), 1, 40, -1).Draw(t, "answers")
		steady, jumping := answers(text), answers(text)
		for i := range jumping {
			jumping[i].At = jumping[i].At.Add(time.Duration(rapid.IntRange(-7200, 7200).Draw(t, "jump")) * time.Second)
		}
		want, got := health.Walk(3, 2, steady), health.Walk(3, 2, jumping)
		for i := range want {
			if want[i].Phase != got[i].Phase || want[i].Health != got[i].Health {
				t.Fatalf("%s: with jumps %s %s, without %s %s", text[:i+1], got[i].Phase, got[i].Health, want[i].Phase, want[i].Health)
			}
			if first := got[i].FirstBad; !first.IsZero() && first.Before(got[i].LastGood) {
				t.Fatalf("%s: first bad at %s, last good at %s", text[:i+1], first, got[i].LastGood)
			}
		}
	})
}
