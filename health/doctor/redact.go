package doctor

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/ghosteam/upkeep/configs/secret"
)

// redactor takes secrets out of texts: those that are known, and what looks
// like one. It takes out too much rather than too little.
type redactor struct{ known *secret.Redactor }

var (
	// privateKey is a key in PEM or armor, whole or cut at its end.
	privateKey = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|\z)`)
	// keyEnd ends one; keyLine is a line within one.
	keyEnd  = regexp.MustCompile(`-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----`)
	keyLine = regexp.MustCompile(`^[^A-Za-z0-9+/=]*[A-Za-z0-9+/=]{16,}\s*$`)
	// userInfo is what stands between the scheme and the last @ of a URL.
	userInfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)([^\s"'<>|]*)@`)
	// header is a header of HTTP that identifies somebody.
	header = regexp.MustCompile(`(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key|x-auth-[a-z-]*)(["']?\s*[:=]\s*["']?)[^\r\n"']+`)
	// scheme is a scheme of authentication with what it takes.
	scheme = regexp.MustCompile(`(?i)\b(bearer|basic|digest)\s+[A-Za-z0-9._~+/=-]{8,}`)
	// assignment gives a value to a name.
	assignment = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_.-]*)(["']?\s*[=:]\s*)("(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s"'][^\s]*)`)
	// option is an option of a command line with its value behind a blank.
	option = regexp.MustCompile(`(--?[A-Za-z][A-Za-z0-9_-]*)(\s+)("(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s"'-][^\s]*)`)
	// token is what services issue in a form of their own.
	token = regexp.MustCompile(`\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bxox[a-z]-[A-Za-z0-9-]{8,}|\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_[A-Za-z0-9_]{16,}|\bglpat-[A-Za-z0-9_-]{16,}` +
		`|\bsk[-_][A-Za-z0-9_-]{20,}|\brk_live_[A-Za-z0-9]{16,}|\bAIza[0-9A-Za-z_-]{30,}|\bnpm_[A-Za-z0-9]{30,}|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*` +
		`|\bAGE-SECRET-KEY-[A-Z0-9]+|hooks\.slack\.com/[^\s"'<>]+|hc-ping\.com/[^\s"'<>]+`)
	// camel is where a word begins inside a name.
	camel = regexp.MustCompile(`([a-z0-9])([A-Z])`)
)

// looksSecret tells whether something of that name is probably a secret.
func looksSecret(name string) bool {
	name = camel.ReplaceAllString(strings.TrimLeft(name, "-"), "${1}_${2}")
	return secret.LooksSecret(strings.NewReplacer("-", "_", ".", "_").Replace(name))
}

// text takes secrets out of a text.
func (r *redactor) text(s string) string {
	s = r.known.Scrub(s)
	s = privateKey.ReplaceAllLiteralString(s, secret.Redacted)
	s = keyWithoutBeginning(s)
	s = token.ReplaceAllLiteralString(s, secret.Redacted)
	s = replaceGroups(userInfo, s, func(g []string) string {
		user, _, hasPassword := strings.Cut(g[2], ":")
		switch {
		case hasPassword:
			return g[1] + user + ":" + secret.Redacted + "@"
		case len(g[2]) >= longestUser || strings.HasPrefix(g[1], "http"):
			return g[1] + secret.Redacted + "@"
		}
		return g[0]
	})
	s = header.ReplaceAllString(s, "${1}${2}"+secret.Redacted)
	s = scheme.ReplaceAllString(s, "${1} "+secret.Redacted)
	for _, p := range []*regexp.Regexp{assignment, option} {
		s = replaceGroups(p, s, func(g []string) string {
			if !looksSecret(g[1]) {
				return g[0]
			}
			return g[1] + g[2] + masked(g[3])
		})
	}
	return s
}

// masked stands for a value; its quotes stay.
func masked(value string) string {
	if q := value[0]; (q == '"' || q == '\'') && len(value) > 1 && value[len(value)-1] == q {
		return string(q) + secret.Redacted + string(q)
	}
	return secret.Redacted
}

// longestUser is the length from which the user of a URL is taken for a token.
const longestUser = 20

// replaceGroups replaces matches by what with returns for their groups. A match
// that is kept is searched again from its second group on, since a name may
// stand in the value of another.
func replaceGroups(p *regexp.Regexp, s string, with func(groups []string) string) string {
	var out strings.Builder
	for {
		at := p.FindStringSubmatchIndex(s)
		if at == nil {
			out.WriteString(s)
			return out.String()
		}
		groups := make([]string, len(at)/2)
		for i := range groups {
			if at[2*i] >= 0 {
				groups[i] = s[at[2*i]:at[2*i+1]]
			}
		}
		out.WriteString(s[:at[0]])
		replaced := with(groups)
		if replaced != groups[0] {
			out.WriteString(replaced)
			s = s[at[1]:]
			continue
		}
		// The first group has at least one character, so this ends.
		out.WriteString(s[at[0]:at[3]])
		s = s[at[3]:]
	}
}

// keyWithoutBeginning takes out the lines of a key whose beginning was cut off.
func keyWithoutBeginning(s string) string {
	if !keyEnd.MatchString(s) {
		return s
	}
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if !keyEnd.MatchString(line) {
			continue
		}
		lines[i] = secret.Redacted
		for k := i - 1; k >= 0 && keyLine.MatchString(strings.TrimRight(line0(lines[k]), "\r")); k-- {
			lines[k] = secret.Redacted
		}
	}
	return strings.Join(lines, "\n")
}

// line0 is a line without a prefix that a log may have put before it.
func line0(line string) string {
	if at := strings.LastIndexByte(strings.TrimRight(line, " \r"), ' '); at >= 0 {
		return line[at+1:]
	}
	return line
}

// lines takes secrets out of lines of one text.
func (r *redactor) lines(list []string) []string {
	if slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, "PRIVATE KEY") }) {
		return strings.Split(r.text(strings.Join(list, "\n")), "\n")
	}
	out := make([]string, len(list))
	for i, line := range list {
		out[i] = r.text(line)
	}
	return out
}

// tree takes secrets out of a decoded JSON value.
func (r *redactor) tree(v any) any {
	switch v := v.(type) {
	case string:
		return r.text(v)
	case []any:
		if texts := onlyTexts(v); texts != nil {
			var out []any
			for _, line := range r.lines(texts) {
				out = append(out, line)
			}
			return out
		}
		for i := range v {
			v[i] = r.tree(v[i])
		}
		return v
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			if text, ok := value.(string); ok && looksSecret(key) && text != "" {
				value = secret.Redacted
			}
			out[r.text(fieldName(key))] = r.tree(value)
		}
		return out
	}
	return v
}

func onlyTexts(list []any) []string {
	out := make([]string, len(list))
	for i, v := range list {
		text, ok := v.(string)
		if !ok {
			return nil
		}
		out[i] = text
	}
	return out
}

// word is where a word begins inside the name of a field, the end of an
// abbreviation included.
var word = regexp.MustCompile(`([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])`)

// named matches the names of exported fields, which no other keys look like.
var named = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)

// fieldName is the name of a field as upkeep's JSON has it: UsedPercent becomes
// used_percent.
func fieldName(key string) string {
	if !named.MatchString(key) {
		return key
	}
	return strings.ToLower(word.ReplaceAllString(key, "${1}${3}_${2}${4}"))
}

// facts encodes a value as JSON would and takes secrets out of it.
func (r *redactor) facts(v any) (any, error) {
	if v == nil {
		return nil, nil //nolint:nilnil // no facts are facts
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode what was found: %w", err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, fmt.Errorf("encode what was found: %w", err)
	}
	return r.tree(tree), nil
}

// scrub takes secrets out of all that the report says.
func (r *Report) scrub(by *redactor) {
	for _, text := range []*string{&r.Host, &r.Node, &r.Project, &r.Config, &r.Version} {
		*text = by.text(*text)
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		f.ID, f.Text, f.Means, f.Next = by.text(f.ID), by.text(f.Text), by.text(f.Means), by.text(f.Next)
	}
	for i := range r.Unseen {
		r.Unseen[i].What, r.Unseen[i].Why = by.text(r.Unseen[i].What), by.text(r.Unseen[i].Why)
	}
	for i := range r.Sections {
		s := &r.Sections[i]
		facts, err := by.facts(s.Facts)
		if err != nil {
			facts = map[string]any{"error": err.Error()}
		}
		s.Facts, s.Summary, s.Lines = facts, by.text(s.Summary), by.lines(s.Lines)
		for k := range s.Files {
			s.Files[k].Content = by.text(s.Files[k].Content)
		}
	}
}

// secretOptions are options of programs whose names do not tell that their
// values are secrets. An option of one letter may have its value attached.
func secretOptions(program string) []string {
	switch path.Base(program) {
	case "redis-cli", "valkey-cli":
		return []string{"-a"}
	case "curl":
		return []string{"-u", "--user", "-U", "--proxy-user", "-b"}
	case "mysql", "mysqldump", "mysqladmin", "mariadb", "mariadb-dump":
		return []string{"-p"}
	case "sshpass", "7z", "zip":
		return []string{"-p", "-P"}
	case "ldapsearch", "ldapmodify":
		return []string{"-w"}
	case "mosquitto_pub": //nolint:misspell // its name
		return []string{"-P"}
	}
	return nil
}

// longestCommand bounds a command line, in bytes.
const longestCommand = 500

// commandLine joins the arguments of a process without what its options say is
// secret. The rest is for the redactor, so a long line is cut between arguments
// only: it would not recognize a part of a secret.
func commandLine(argv []string) string {
	var out []string
	hide, length := false, 0
	for i, arg := range argv {
		if length += len(arg) + 1; length > longestCommand {
			out = append(out, "…")
			break
		}
		var special []string
		if i > 0 {
			special = secretOptions(argv[0])
		}
		name, _, assigned := strings.Cut(arg, "=")
		switch {
		case hide:
			out, hide = append(out, secret.Redacted), false
			continue
		case slices.Contains(special, arg), strings.HasPrefix(arg, "-") && !assigned && looksSecret(name):
			hide = true
		case assigned && looksSecret(name):
			arg = name + "=" + secret.Redacted
		default:
			for _, o := range special {
				if len(o) == 2 && strings.HasPrefix(arg, o) {
					arg = o + secret.Redacted
				}
			}
		}
		out = append(out, quoted(arg))
	}
	return strings.Join(out, " ")
}

// quoted shows an argument in one piece.
func quoted(arg string) string {
	if arg == "" || strings.ContainsFunc(arg, unicode.IsSpace) {
		return "'" + arg + "'"
	}
	return arg
}
