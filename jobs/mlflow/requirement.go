package mlflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
)

// requirement is one package that a model wants.
type requirement struct {
	name string
	// clauses are the versions that fit, all of them at once.
	clauses []clause
	// conditional tells that it holds only on some machines.
	conditional bool
}

// clause is one bound, such as ">=1.3".
type clause struct{ operator, version string }

var (
	// requirementPattern splits NAME[EXTRAS] from the rest (PEP 508).
	requirementPattern = regexp.MustCompile(`^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*(.*)$`)
	clausePattern      = regexp.MustCompile(`^(===|==|~=|!=|<=|>=|<|>)\s*([A-Za-z0-9.!+*_-]+)$`)
	separators         = regexp.MustCompile(`[-_.]+`)
)

// normal is a package's name as all spellings of it have in common (PEP 503).
func normal(name string) string {
	return separators.ReplaceAllString(strings.ToLower(strings.TrimSpace(name)), "-")
}

// parseRequirement reads one line of a list of requirements; ok is false for a
// line that names no package.
func parseRequirement(line string) (r requirement, ok bool) {
	line = strings.TrimSpace(line)
	if at := strings.Index(line, " #"); at >= 0 {
		line = strings.TrimSpace(line[:at])
	}
	line = strings.TrimSpace(strings.TrimSuffix(line, `\`))
	if line == "" || line[0] == '#' || line[0] == '-' {
		return r, false
	}
	if at := strings.Index(line, " --"); at >= 0 { // --hash=…
		line = strings.TrimSpace(line[:at])
	}
	line, condition, _ := strings.Cut(line, ";")
	m := requirementPattern.FindStringSubmatch(strings.TrimSpace(line))
	if m == nil {
		return r, false
	}
	r = requirement{name: normal(m[1]), conditional: strings.TrimSpace(condition) != ""}
	rest := strings.Trim(strings.TrimSpace(m[2]), "()")
	if strings.HasPrefix(rest, "@") || rest == "" { // from an address, of any version
		return r, true
	}
	for part := range strings.SplitSeq(rest, ",") {
		c := clausePattern.FindStringSubmatch(strings.TrimSpace(part))
		if c == nil {
			return r, !strings.ContainsAny(rest, " /:")
		}
		r.clauses = append(r.clauses, clause{operator: c[1], version: c[2]})
	}
	return r, true
}

// parseRequirements reads a file of requirements.
func parseRequirements(text string) []requirement {
	var out []requirement
	for line := range strings.Lines(text) {
		if r, ok := parseRequirement(line); ok {
			out = append(out, r)
		}
	}
	return out
}

// parseConda finds the requirements in a conda.yaml, whose packages for pip
// stand in a list of their own.
func parseConda(text string) []requirement {
	var out []requirement
	inside, indent := false, 0
	for line := range strings.Lines(text) {
		entry := strings.TrimLeft(line, " ")
		depth := len(line) - len(entry)
		entry, isEntry := strings.CutPrefix(strings.TrimSpace(entry), "- ")
		switch {
		case isEntry && strings.TrimSpace(entry) == "pip:":
			inside, indent = true, depth
		case inside && isEntry && depth > indent:
			if r, ok := parseRequirement(strings.Trim(entry, `'"`)); ok {
				out = append(out, r)
			}
		case strings.TrimSpace(line) != "":
			inside = false
		}
	}
	return out
}

// parseInstalled reads what pip freeze or pip list --format=json wrote: versions
// by normal name, empty for one that is not known.
func parseInstalled(text string) (map[string]string, error) {
	out := map[string]string{}
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		var list []struct{ Name, Version string }
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return nil, fmt.Errorf("read the list of packages: %w", err)
		}
		for _, p := range list {
			out[normal(p.Name)] = p.Version
		}
		delete(out, "")
	} else {
		for line := range strings.Lines(text) {
			if _, egg, ok := strings.Cut(line, "#egg="); ok {
				out[normal(strings.FieldsFunc(egg+" ", func(r rune) bool { return r == '&' || r == ' ' || r == '\n' })[0])] = ""
				continue
			}
			r, ok := parseRequirement(line)
			if !ok {
				continue
			}
			out[r.name] = ""
			if len(r.clauses) == 1 && strings.HasPrefix(r.clauses[0].operator, "==") {
				out[r.name] = r.clauses[0].version
			}
		}
	}
	if len(out) == 0 {
		return nil, errors.New("the list of packages is empty")
	}
	return out, nil
}

func readInstalled(path string) (map[string]string, error) {
	text, err := readBounded(path, longestFile)
	if err != nil {
		return nil, fmt.Errorf("read the list of installed packages: %w", err)
	}
	out, err := parseInstalled(string(text))
	if err != nil {
		return nil, jobs.WithHint(fmt.Errorf("%s: %w", path, err), "write it with `pip freeze`")
	}
	return out, nil
}

// packages reads the list of installed packages.
func (s *survey) packages(ctx context.Context) error {
	o := s.options.Installed
	var err error
	switch {
	case o.File != "":
		s.installed, err = readInstalled(string(o.File))
		return err
	case o.URL != "":
		u, err := parseBase(o.URL)
		if err != nil {
			return fmt.Errorf("installed.url: %w", err)
		}
		text, err := s.client.ask(ctx, http.MethodGet, u, nil, "installed packages", longestFile, func(*http.Request) {})
		if err == nil {
			s.installed, err = parseInstalled(string(text))
		}
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return err
			}
			// Another server's fault is not MLflow's.
			s.report.Unseen("installed", jobs.Warning, fmt.Sprintf("the packages at %s: %s", u.Host, err))
		}
	}
	return nil
}

// equipped compares what a model requires with what is installed.
func (s *survey) equipped(ctx context.Context, f *files) error {
	wanted, err := f.requirements(ctx)
	if err != nil {
		return s.blind(f.model, "requirements", err)
	}
	title := f.model.title()
	var missing, differ, conditional float64
	for _, r := range wanted {
		if slices.ContainsFunc(f.model.Ignore, func(name string) bool { return normal(name) == r.name }) {
			continue
		}
		if r.conditional {
			conditional++
			continue
		}
		have, ok := s.installed[r.name]
		if !ok {
			missing++
			s.bad(f.model, "requirement/"+r.name, jobs.Critical, "it requires %s, which is not installed where it is served", r.text())
			continue
		}
		if verdict := r.judge(have); verdict != "" {
			differ++
			severity := jobs.Info
			if verdict != patched {
				severity = jobs.Warning
			}
			s.bad(f.model, "requirement/"+r.name, severity, "it requires %s, and %s is installed: %s", r.text(), have, verdict)
		}
	}
	s.report.Values["requirements."+title] = float64(len(wanted))
	s.report.Values["requirements_missing."+title] = missing
	s.report.Values["requirements_differ."+title] = differ
	s.report.Values["requirements_conditional."+title] = conditional
	return nil
}

// requirements reads what a model requires.
func (f *files) requirements(ctx context.Context) ([]requirement, error) {
	text, err := f.read(ctx, "requirements.txt")
	if err == nil {
		return parseRequirements(text), nil
	}
	if isFault(err) {
		return nil, err
	}
	text, errConda := f.read(ctx, "conda.yaml")
	if errConda == nil {
		return parseConda(text), nil
	}
	if isFault(errConda) {
		return nil, errConda
	}
	return nil, err
}

// The verdicts on versions.
const (
	patched    = "another minor version"
	otherMajor = "another major version"
	outOfRange = "out of range"
)

func (r requirement) text() string {
	parts := make([]string, len(r.clauses))
	for i, c := range r.clauses {
		parts[i] = c.operator + c.version
	}
	return r.name + strings.Join(parts, ",")
}

// judge compares a version with what is required; empty when it fits. A version
// that is not known fits.
func (r requirement) judge(have string) string {
	got, ok := numbers(have)
	if !ok {
		return ""
	}
	verdict := ""
	for _, c := range r.clauses {
		want, ok := numbers(strings.TrimSuffix(c.version, ".*"))
		if !ok || c.fits(got, want) {
			continue
		}
		if c.operator != "==" && c.operator != "===" {
			return outOfRange
		}
		verdict = patched
		if major(got) != major(want) {
			return otherMajor
		}
	}
	return verdict
}

func (c clause) fits(got, want []int) bool {
	order := slices.Compare(pad(got, len(want)), pad(want, len(got)))
	within := slices.Equal(pad(got, len(want))[:len(want)], want)
	switch c.operator {
	case "==", "===":
		if strings.HasSuffix(c.version, ".*") {
			return within
		}
		return order == 0
	case "!=":
		if strings.HasSuffix(c.version, ".*") {
			return !within
		}
		return order != 0
	case ">=":
		return order >= 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case "<":
		return order < 0
	case "~=": // at least, within all parts but the last (PEP 440)
		head := want[:max(1, len(want)-1)]
		return order >= 0 && slices.Equal(pad(got, len(head))[:len(head)], head)
	}
	return true
}

// numbers are the parts of a release, such as 1, 3, 0 of "1.3.0.post1+cu118".
func numbers(version string) ([]int, bool) {
	if _, after, epoch := strings.Cut(version, "!"); epoch {
		version = after
	}
	version = strings.TrimPrefix(version, "v")
	version, _, _ = strings.Cut(version, "+")
	var out []int
	for part := range strings.SplitSeq(version, ".") {
		digits := len(part) - len(strings.TrimLeft(part, "0123456789"))
		if digits == 0 {
			break
		}
		n, err := strconv.Atoi(part[:digits])
		if err != nil {
			return nil, false
		}
		out = append(out, n)
		if digits < len(part) { // rc1, a2
			break
		}
	}
	return out, len(out) > 0
}

func pad(parts []int, to int) []int {
	out := slices.Clone(parts)
	for len(out) < to {
		out = append(out, 0)
	}
	return out
}

// major is the part of a version by whose change programs break: the first one,
// below 1.0 the second too.
func major(parts []int) [2]int {
	p := pad(parts, 2)
	if p[0] > 0 {
		return [2]int{p[0], 0}
	}
	return [2]int{0, p[1]}
}
