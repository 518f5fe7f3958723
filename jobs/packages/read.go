package packages

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Names and versions as Debian Policy 5.6.1 and 5.6.12 allow them; some archives
// use capitals and underscores in names.
const (
	nameForm    = `[A-Za-z0-9][A-Za-z0-9.+_-]*(?::[a-z0-9-]+)?`
	versionForm = `[A-Za-z0-9][A-Za-z0-9.+:~-]*`
)

var (
	// instLine is "Inst NAME [OLD] (NEW ORIGIN, ORIGIN [ARCH]) [BROKEN …]".
	instLine = regexp.MustCompile(`^Inst (` + nameForm + `) (?:\[(` + versionForm + `)\] )?\((` + versionForm + `) (?:(.*?) ?)\[([a-z0-9-]+)\]\)(?: .*)?$`)
	remvLine = regexp.MustCompile(`^(?:Remv|Purg) (` + nameForm + `) \[.*$`)
	uriLine  = regexp.MustCompile(`^'[^']*' \S+ ([0-9]+)(?: \S*)?$`)
	wholly   = regexp.MustCompile(`^` + nameForm + `$`)
	version  = regexp.MustCompile(`^` + versionForm + `$`)
)

// readSimulation reads what `apt-get -s` says in the C locale. What it cannot
// read is an error: half a plan must not be carried out.
func readSimulation(text string) (preview, error) {
	var p preview
	list := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if list && strings.HasPrefix(line, "  ") {
			p.KeptBack = append(p.KeptBack, strings.Fields(line)...)
			continue
		}
		list = line == "The following packages have been kept back:" || line == "The following upgrades have been deferred due to phasing:"
		word, _, _ := strings.Cut(line, " ")
		switch word {
		case "Inst":
			m := instLine.FindStringSubmatch(line)
			if m == nil {
				return preview{}, fmt.Errorf("apt-get said what cannot be read: %q", line)
			}
			c := change{Name: m[1], Old: m[2], New: m[3]}
			if m[4] != "" {
				c.Origins = strings.Split(m[4], ", ")
			}
			p.Changes = append(p.Changes, c)
		case "Remv", "Purg":
			m := remvLine.FindStringSubmatch(line)
			if m == nil {
				return preview{}, fmt.Errorf("apt-get said what cannot be read: %q", line)
			}
			p.Removed = append(p.Removed, m[1])
		}
	}
	if i := slices.IndexFunc(p.KeptBack, func(n string) bool { return !wholly.MatchString(n) }); i >= 0 {
		return preview{}, fmt.Errorf("apt-get keeps back what is not a package: %q", p.KeptBack[i])
	}
	return p, nil
}

// readURIs sums up the sizes that `apt-get --print-uris` says.
func readURIs(text string) (bytes int64, err error) {
	for line := range strings.Lines(text) {
		m := uriLine.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			continue
		}
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil || bytes+n < bytes {
			return 0, fmt.Errorf("apt-get said what cannot be read: %q", line)
		}
		bytes += n
	}
	return bytes, nil
}

// readStatus reads lines of name, architecture, version and status, with tabs
// between, as `dpkg-query -W` writes them (dpkg-query(1), db:Status-Abbrev).
// broken names the packages that an installation left half done, with the state
// that they are in.
func readStatus(text, native string) (installed map[string]string, broken []string, err error) {
	installed = map[string]string{}
	states := map[byte]string{
		'H': "half installed", 'U': "unpacked but not configured", 'F': "half configured",
		'W': "waiting for another package's trigger", 't': "with a trigger to run",
	}
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) != 4 || len(f[3]) < 2 || !wholly.MatchString(f[0]) {
			return nil, nil, fmt.Errorf("dpkg-query said what cannot be read: %q", line)
		}
		name := f[0]
		if f[1] != native && f[1] != "all" {
			name += ":" + f[1]
		}
		if state := states[f[3][1]]; state != "" {
			broken = append(broken, name+" is "+state)
		} else if len(f[3]) > 2 && f[3][2] == 'R' {
			broken = append(broken, name+" must be installed anew")
		}
		if f[3][1] != 'i' {
			continue
		}
		if !version.MatchString(f[2]) {
			return nil, nil, fmt.Errorf("dpkg-query said what cannot be read: %q", line)
		}
		installed[name] = f[2]
	}
	return installed, broken, nil
}

// shellLine is one variable as `apt-config shell` writes it.
var shellLine = regexp.MustCompile(`(?m)^([A-Z]+)='([^'\n]*)'$`)

func readShell(text string) map[string]string {
	out := map[string]string{}
	for _, m := range shellLine.FindAllStringSubmatch(text, -1) {
		out[m[1]] = m[2]
	}
	return out
}

// failedFetch is what apt-get says of a list that it could not fetch. Before
// 2.1 it ends with exit code 0 all the same.
var failedFetch = regexp.MustCompile(`(?m)^(?:W: (?:Failed to fetch|GPG error|An error occurred during the signature)|E: |Err:|W: Some index files failed).*$`)

// lockTaken is what apt-get and dpkg say when another one holds a lock.
var lockTaken = regexp.MustCompile(`(?m)(?:Could not get lock|Unable to acquire the dpkg|is another process using it|lock is held by|is locked by another process)`)

// lastError is the most telling line of what apt-get said: the first error, or
// the last line.
func lastError(said string) string {
	last := ""
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "E: "); ok {
			return text
		}
		if line != "" {
			last = line
		}
	}
	return last
}

// keptConffile is how dpkg names a configuration file that it keeps.
var keptConffile = regexp.MustCompile(`(?m)^Configuration file '([^'\n]+)'(?: \(actually [^\n]*\))?\n(?: ==> [^\n]*\n)*? ==> (?:Keeping old config file as default|Using current old file as you requested)\.$`)

func keptConffiles(said string) []string {
	var out []string
	for _, m := range keptConffile.FindAllStringSubmatch(strings.ReplaceAll(said, "\r\n", "\n"), -1) {
		if !slices.Contains(out, m[1]) {
			out = append(out, m[1])
		}
	}
	return out
}
