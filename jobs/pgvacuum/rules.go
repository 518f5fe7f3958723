package pgvacuum

// rules choose tables by the options.
type rules struct {
	mode           string
	analyze        bool
	due            float64
	minSize        int64
	include, leave patterns
	full           patterns
}

func newRules(o Options) rules {
	return rules{
		mode: o.Mode, analyze: o.Analyze, due: o.Due.Fraction(), minSize: o.MinSize.Bytes(),
		include: newPatterns(o.Tables), leave: newPatterns(o.ExcludeTables), full: newPatterns(o.Full.Tables),
	}
}

// chosen tells whether the patterns let a table be touched.
func (r rules) chosen(t table) bool {
	if r.leave.match(t.Schema, t.Name) {
		return false
	}
	return len(r.include) == 0 || r.include.match(t.Schema, t.Name)
}
