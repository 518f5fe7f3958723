package packages

// Simulated is what ReadSimulation found.
type Simulated struct {
	Changes           []string
	Removed, KeptBack []string
}

// ReadSimulation reads what apt-get -s says.
func ReadSimulation(text string) (Simulated, error) {
	p, err := readSimulation(text)
	s := Simulated{Removed: p.Removed, KeptBack: p.KeptBack}
	for _, c := range p.Changes {
		s.Changes = append(s.Changes, c.String())
	}
	return s, err
}

// SecureChanges are the names of what a simulation says comes from one of the
// origins.
func SecureChanges(text string, from ...string) ([]string, error) {
	p, err := readSimulation(text)
	u := &upgrade{options: Options{Policy: policySecurity, SecurityFrom: from}}
	chosen, _ := u.choose(p)
	return names(chosen), err
}

// ReadStatus reads what dpkg-query says.
func ReadStatus(text, native string) (installed map[string]string, broken []string, err error) {
	return readStatus(text, native)
}

// ReadURIs reads what apt-get --print-uris says.
func ReadURIs(text string) (int64, error) { return readURIs(text) }

// Matches compares a text with patterns.
func Matches(patterns []string, text string) bool { return matches(patterns, text) }

// OwnLast orders packages by name, one of them at the end.
func OwnLast(own string, list ...string) []string {
	var changes []change
	for _, name := range list {
		changes = append(changes, change{Name: name})
	}
	return names(ownLast(changes, own))
}
