package mlflow

// Misfits compares a request with the signature in a file MLmodel and returns
// the troubles.
func Misfits(modelFile, request string) (out []string, err error) {
	sig, err := parseModelFile(modelFile)
	if err != nil {
		return nil, err
	}
	if sig.none {
		return []string{"none"}, nil
	}
	g, err := parseGolden([]byte(request))
	if err != nil {
		return nil, err
	}
	for _, m := range compare(sig, g) {
		out = append(out, string(m.severity)+" "+m.trouble+": "+m.text)
	}
	return out, nil
}

// Packages reads a list of installed packages.
func Packages(text string) (map[string]string, error) { return parseInstalled(text) }

// Requirement judges a version by a line of requirements.
func Requirement(line, have string) (verdict string, ok bool) {
	r, ok := parseRequirement(line)
	if !ok {
		return "", false
	}
	return r.judge(have), true
}

// Conda returns how many requirements a conda.yaml has.
func Conda(text string) int { return len(parseConda(text)) }
