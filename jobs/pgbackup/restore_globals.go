package pgbackup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// globalsBytes bounds how much of the roles and tablespaces of a server is held
// in memory.
const globalsBytes = 64 << 20

// globals restores the roles and tablespaces of the backup that the server does
// not have. What it has is not touched: neither attributes nor passwords nor
// memberships.
func (p *place) globals(ctx context.Context, r *restore) error {
	if !p.target.Globals {
		return nil
	}
	c := p.admin
	if c == nil {
		c = p.there
	}
	stream, err := r.globalsStream()
	if err != nil {
		return err
	}
	var text strings.Builder
	err = artifact.Read(ctx, r.artifact, r.keys, stream, func(plain io.Reader) error {
		n, err := io.Copy(&text, io.LimitReader(plain, globalsBytes+1))
		if err == nil && n > globalsBytes {
			err = fmt.Errorf("%s is larger than %s", stream, artifact.Bytes(globalsBytes))
		}
		return err
	})
	if err != nil {
		return err
	}
	all, err := splitSQL(text.String())
	if err != nil {
		return fmt.Errorf("%s: %w", stream, err)
	}
	there, err := pg.Texts(ctx, c, `SELECT 'roles ' || rolname FROM pg_roles UNION ALL SELECT 'tablespaces ' || spcname FROM pg_tablespace`)
	if err != nil {
		return pg.Advise(fmt.Errorf("look for roles and tablespaces: %w", err))
	}
	m := missingGlobals(all, there)
	r.promised = m.created
	if err := p.makeRoles(ctx, c, m.roles); err != nil {
		return err
	}
	for _, s := range m.spaces {
		// A tablespace cannot be made in a transaction.
		if err := p.do(ctx, c, s); err != nil {
			return jobs.WithHint(fmt.Errorf("restore the tablespaces: %w", err), "make its folder on the server, empty and owned by the server's user, or make the tablespace elsewhere first")
		}
	}
	return nil
}

// makeRoles runs what makes roles, in one transaction.
func (p *place) makeRoles(ctx context.Context, c *pg.Conn, all []statement) error {
	if len(all) == 0 {
		return nil
	}
	var shown []string
	for _, s := range all {
		shown = append(shown, s.shown())
	}
	what := "run BEGIN; " + strings.Join(shown, "; ") + "; COMMIT"
	return p.env.Effect(ctx, what, func(ctx context.Context) error {
		tx, err := c.Begin(ctx)
		if err != nil {
			return pg.Advise(fmt.Errorf("restore the roles: %w", err))
		}
		for _, s := range all {
			if _, err := tx.Exec(ctx, s.text); err != nil {
				_ = tx.Rollback(context.WithoutCancel(ctx)) // the server does it in any case
				return jobs.WithHint(fmt.Errorf("restore the roles: %s: %w", s.shown(), err), "restore as a superuser, or make the roles by hand")
			}
		}
		if err := tx.Commit(ctx); err != nil {
			return pg.Advise(fmt.Errorf("restore the roles: %w", err))
		}
		return nil
	})
}

// globalsStream returns the stream with the roles of the database's server.
func (r *restore) globalsStream() (string, error) {
	for _, g := range r.details.Globals {
		if g.Server == r.database.Server.Address || len(r.details.Globals) == 1 {
			return g.Stream, nil
		}
	}
	return "", jobs.WithHint(errors.New("the backup holds no roles and tablespaces"), "make them by hand, or leave them out with --no-owner and --no-privileges")
}

// missing is what makes the roles and tablespaces that a server does not have.
type missing struct {
	roles, spaces []statement
	// created names them: "roles NAME", "tablespaces NAME".
	created []string
}

// missingGlobals picks that from what pg_dumpall wrote; there is what the server
// has, named in the same way.
func missingGlobals(all, there []string) *missing {
	m := &missing{}
	for _, sql := range all {
		words := wordsOf(sql)
		s := statement{text: sql, show: passwords.ReplaceAllString(sql, "PASSWORD '…'")}
		if slices.Contains(words, "SET") { // what applications keep in settings may be secret
			s.show = literals.ReplaceAllString(sql, "'…'")
		}
		m.take(s, append(words, "", "", "", ""), there)
	}
	return m
}

// take takes a statement when it makes something that is not there, or belongs
// to something that was taken. words end in empty ones.
func (m *missing) take(s statement, words, there []string) {
	family, name := subject(words)
	if family == "" {
		return
	}
	if words[0] == "CREATE" && !slices.Contains(there, family+" "+name) {
		m.created = append(m.created, family+" "+name)
	}
	switch {
	case !slices.Contains(m.created, family+" "+name):
	case family == "roles":
		m.roles = append(m.roles, s)
	default:
		m.spaces = append(m.spaces, s)
	}
}

// subject returns what a statement is about; nothing when it is neither a role
// nor a tablespace.
func subject(words []string) (family, name string) {
	families := map[string]string{"ROLE": "roles", "TABLESPACE": "tablespaces"}
	switch words[0] {
	case "CREATE", "ALTER":
		return families[words[1]], words[2]
	case "COMMENT":
		return families[words[2]], words[3]
	case "GRANT", "REVOKE":
		if on := slices.Index(words, "TABLESPACE"); on > 0 && words[on-1] == "ON" {
			return "tablespaces", words[on+1]
		}
		// A membership or a parameter belongs to the role that gets it.
		if to := slices.Index(words, "TO"); to > 0 {
			return "roles", words[to+1]
		}
	}
	return "", ""
}

// passwords are those in a statement about a role, and literals all texts in one.
var (
	passwords = regexp.MustCompile(`PASSWORD '(?:[^']|'')*'`)
	literals  = regexp.MustCompile(`'(?:[^']|'')*'`)
)

// wordsOf returns the first words of a statement; names without their quotes.
func wordsOf(sql string) []string {
	const most = 16
	var out []string
	for sql = strings.TrimLeft(sql, " \t\r\n"); sql != "" && len(out) < most; sql = strings.TrimLeft(sql, " \t\r\n,") {
		if sql[0] != '"' {
			end := strings.IndexAny(sql, " \t\r\n,\"'(")
			if end < 0 {
				end = len(sql)
			}
			end = max(end, 1)
			out, sql = append(out, sql[:end]), sql[end:]
			continue
		}
		var name strings.Builder
		i := 1
		for ; i < len(sql); i++ {
			if sql[i] == '"' {
				if i+1 >= len(sql) || sql[i+1] != '"' {
					break
				}
				i++
			}
			name.WriteByte(sql[i])
		}
		out, sql = append(out, name.String()), sql[min(i+1, len(sql)):]
	}
	return out
}

// splitSQL splits what pg_dumpall --globals-only writes into statements, without
// comments and the commands of psql. Other quotes than those it uses are refused.
func splitSQL(text string) ([]string, error) {
	var out []string
	var now strings.Builder
	for i := 0; i < len(text); {
		blank := strings.TrimSpace(now.String()) == ""
		switch c := text[i]; {
		case blank && (strings.HasPrefix(text[i:], "--") || c == '\\'):
			end := strings.IndexByte(text[i:], '\n')
			if end < 0 {
				end = len(text) - i - 1
			}
			i += end + 1
		case c == '\'' || c == '"':
			end := endOfQuoted(text, i)
			if end < 0 {
				return nil, errors.New("a quote does not end")
			}
			now.WriteString(text[i:end])
			i = end
		case c == '$':
			return nil, errors.New("a quote of a sort that pg_dumpall does not write")
		case c == ';':
			if !blank {
				out = append(out, strings.TrimSpace(now.String()))
			}
			now.Reset()
			i++
		case blank && (c == ' ' || c == '\n' || c == '\r' || c == '\t'):
			i++
		default:
			now.WriteByte(c)
			i++
		}
	}
	if strings.TrimSpace(now.String()) != "" {
		return nil, errors.New("the last statement does not end")
	}
	return out, nil
}

// endOfQuoted returns where what is quoted from at ends, or -1. A literal that
// begins with E has escapes by backslash.
func endOfQuoted(text string, at int) int {
	quote := text[at]
	escapes := quote == '\'' && at > 0 && (text[at-1] == 'E' || text[at-1] == 'e') && (at < 2 || !isWord(text[at-2]))
	for i := at + 1; i < len(text); i++ {
		switch {
		case escapes && text[i] == '\\':
			i++
		case text[i] == quote && i+1 < len(text) && text[i+1] == quote:
			i++
		case text[i] == quote:
			return i + 1
		}
	}
	return -1
}

func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}
