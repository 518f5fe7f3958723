package schedule

import "strings"

// Names are compared in lower case; any beginning of at least three letters
// counts, so "tue", "tues" and "tuesday" are the same.

func weekdayNames() []string {
	return []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}
}

func monthNames() []string {
	return []string{
		"january", "february", "march", "april", "may", "june",
		"july", "august", "september", "october", "november", "december",
	}
}

func ordinalNames() []string {
	return []string{"first", "second", "third", "fourth", "fifth", "last"}
}

const (
	weekdayHint = "the days are mon tue wed thu fri sat sun"
	monthHint   = "the months are jan feb mar apr may jun jul aug sep oct nov dec"
)

// nameIndex returns the index in names of the name that text begins.
func nameIndex(names []string, text string) (int, bool) {
	if len(text) < 3 {
		return 0, false
	}
	text = strings.ToLower(text)
	for i, name := range names {
		if strings.HasPrefix(name, text) {
			return i, true
		}
	}
	return 0, false
}

// title writes a name for people: "Monday".
func title(name string) string { return strings.ToUpper(name[:1]) + name[1:] }
